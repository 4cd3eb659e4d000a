#!/bin/sh
# Makes what an AWS account needs in a region before the first `pulumi up`: a bucket for Pulumi's state, a KMS key that
# encrypts the secrets in it, a registry of images (a repository of ECR for each), the role by which EC2 starts Spot
# Instances, and encryption of all new disks. Safe to run again: what is there stays, and gets what the options say now.
#
#   sh tools/aws/prepare-account.sh REGION [--bucket NAME] [--accounts ID,ID] [--docker-hub-secret ARN]
#
#   --bucket NAME             of the state; ACCOUNT-pulumi-state by default
#   --accounts ID,ID          other accounts whose nodes pull these images
#   --docker-hub-secret ARN   nodes pull Docker Hub's images through this account's registry, with the login that this
#                             secret of Secrets Manager holds (username, accessToken); its name begins with
#                             ecr-pullthroughcache/
#
# Needs the AWS CLI, version 2, logged in as somebody who may do this.
set -eu

usage="usage: sh tools/aws/prepare-account.sh REGION [--bucket NAME] [--accounts ID,ID] [--docker-hub-secret ARN]"
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

region=${1:-}
[ -n "$region" ] || fail "$usage"
case "$region" in -*) fail "$usage" ;; esac
shift
bucket= accounts= secret=
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 has no value; $usage"
    case "$1" in
    --bucket) bucket=$2 ;;
    --accounts) accounts=$2 ;;
    --docker-hub-secret) secret=$2 ;;
    *) fail "$1: no such option; $usage" ;;
    esac
    shift 2
done

command -v aws >/dev/null ||
    fail "aws is not on PATH; install the AWS CLI: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
step() { printf '%s\n' "- $*"; }
export AWS_REGION="$region" AWS_PAGER=

case "$region" in
cn-*) partition=aws-cn suffix=amazonaws.com.cn ;;
us-gov-*) partition=aws-us-gov suffix=amazonaws.com ;;
eusc-*) partition=aws-eusc suffix=amazonaws.eu ;;
*) partition=aws suffix=amazonaws.com ;;
esac
account=$(aws sts get-caller-identity --query Account --output text)
bucket=${bucket:-$account-pulumi-state}
key=pulumi-state
registry=llm-serving
pull_through=docker-hub
images="gateway model-loader quantizer redis router"

step "bucket s3://$bucket"
if ! aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
    # us-east-1 is the one region that may not be named.
    if [ "$region" = us-east-1 ]; then
        aws s3api create-bucket --bucket "$bucket" --object-ownership BucketOwnerEnforced >/dev/null
    else
        aws s3api create-bucket --bucket "$bucket" --object-ownership BucketOwnerEnforced \
            --create-bucket-configuration "LocationConstraint=$region" >/dev/null
    fi
fi
aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
# Versions of the state are the way back from a mistake.
aws s3api put-bucket-versioning --bucket "$bucket" --versioning-configuration Status=Enabled

step "KMS key alias/$key"
if ! aws kms describe-key --key-id "alias/$key" >/dev/null 2>&1; then
    id=$(aws kms create-key --description "Secrets in Pulumi's state" --query KeyMetadata.KeyId --output text)
    aws kms enable-key-rotation --key-id "$id"
    aws kms create-alias --alias-name "alias/$key" --target-key-id "$id"
fi

# What nodes of other accounts may do with a repository of this one.
principals=
for other in $(printf %s "$accounts" | tr , ' '); do
    principals="${principals:+$principals,}\"arn:$partition:iam::$other:root\""
done
pulling='"ecr:BatchCheckLayerAvailability","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"'
# ACTIONS [MORE]: a document that allows these accounts ACTIONS.
policy() {
    printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%s]},"Action":[%s]%s}]}' \
        "$principals" "$1" "${2:-}"
}
others=$(policy "$pulling")

for image in $images; do
    step "repository $account.dkr.ecr.$region.$suffix/$registry/$image"
    if ! aws ecr describe-repositories --repository-names "$registry/$image" >/dev/null 2>&1; then
        aws ecr create-repository --repository-name "$registry/$image" --image-tag-mutability IMMUTABLE \
            --image-scanning-configuration scanOnPush=true >/dev/null
    fi
    if [ -n "$principals" ]; then
        aws ecr set-repository-policy --repository-name "$registry/$image" --policy-text "$others" >/dev/null
    fi
done

if [ -n "$secret" ]; then
    step "pull-through rule $pull_through, which caches Docker Hub's images"
    if [ -z "$(aws ecr describe-pull-through-cache-rules --ecr-repository-prefixes "$pull_through" --output text 2>/dev/null)" ]; then
        aws ecr create-pull-through-cache-rule --ecr-repository-prefix "$pull_through" \
            --upstream-registry-url registry-1.docker.io --credential-arn "$secret" >/dev/null
    else
        aws ecr update-pull-through-cache-rule --ecr-repository-prefix "$pull_through" \
            --credential-arn "$secret" >/dev/null
    fi
    if [ -n "$principals" ]; then
        # The first pull makes the repository: theirs to make, and theirs to pull from.
        change=update
        if [ -z "$(aws ecr describe-repository-creation-templates --prefixes "$pull_through" --output text 2>/dev/null)" ]; then
            change=create
        fi
        aws ecr $change-repository-creation-template --prefix "$pull_through" --applied-for PULL_THROUGH_CACHE \
            --repository-policy "$others" >/dev/null
        # A template says nothing to repositories that are there.
        for repository in $(aws ecr describe-repositories --output text \
            --query "repositories[?starts_with(repositoryName, '$pull_through/')].repositoryName"); do
            aws ecr set-repository-policy --repository-name "$repository" --policy-text "$others" >/dev/null
        done
        if aws ecr get-registry-policy >/dev/null 2>&1; then
            step "the registry has a policy; these accounts need ecr:CreateRepository and ecr:BatchImportUpstreamImage" \
                "for $pull_through/* in it"
        else
            filling='"ecr:BatchImportUpstreamImage","ecr:CreateRepository"'
            filled="\"Resource\":[\"arn:$partition:ecr:$region:$account:repository/$pull_through/*\"]"
            aws ecr put-registry-policy --policy-text "$(policy "$filling" ",$filled")" >/dev/null
        fi
    fi
fi

step "service-linked role of Spot Instances, which Karpenter may not make"
if ! aws iam get-role --role-name AWSServiceRoleForEC2Spot >/dev/null 2>&1; then
    aws iam create-service-linked-role --aws-service-name spot.amazonaws.com >/dev/null
fi

step "encryption of new disks in $region, those of pods too"
aws ec2 enable-ebs-encryption-by-default >/dev/null

cat <<EOF

Ready. Next, with STACK one of your stacks on AWS (docs/cloud-account.md):
  stacks quotas STACK        # the quotas to ask for: vCPUs, by family and market
  stacks images push model-loader@0.1.0 --archive FILE --to $account.dkr.ecr.$region.$suffix/$registry    # once
  stacks check STACK         # names the other images of ours that the stack needs: gateway, router, redis
  pulumi login "s3://$bucket?region=$region"
  pulumi stack init STACK --secrets-provider "awskms://alias/$key?region=$region"
  pulumi preview --stack STACK

A new account has no GPUs and few CPUs. The quotas of EC2, with the code that asks for more:
  Running On-Demand Standard instances    L-1216C47A
  Running On-Demand G and VT instances    L-DB2E81BA
  All G and VT Spot Instance Requests     L-3819A6DF
  Running On-Demand P instances           L-417A185B
  All P4, P3 and P2 Spot Instance Requests    L-7212CCBC
  All P5 Spot Instance Requests           L-C4BD4855
  aws service-quotas request-service-quota-increase --region $region --service-code ec2 --quota-code CODE --desired-value VCPUS
EOF
