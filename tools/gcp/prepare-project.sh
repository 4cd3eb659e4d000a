#!/bin/sh
# Makes what a Google Cloud project needs before the first `pulumi up`: the APIs, a bucket for Pulumi's state, a KMS
# key that encrypts the secrets in it, a registry of images, and one through which nodes pull from Docker Hub. Safe to
# run again: what is there is left as it is.
#
#   sh tools/gcp/prepare-project.sh PROJECT REGION [BUCKET]
#
# Which APIs, and why: prerequisites.yaml. Needs the Google Cloud CLI, logged in as somebody who may do this (roles/serviceusage.serviceUsageAdmin,
# roles/storage.admin, roles/cloudkms.admin, roles/artifactregistry.admin on the project).
set -eu

usage="usage: sh tools/gcp/prepare-project.sh PROJECT REGION [BUCKET]"
project=${1:?$usage}
region=${2:?$usage}
# A project of a domain, example.com:my-project: its id has a colon, which no bucket and no registry's path has.
bucket=${3:-$(printf %s "$project" | tr ':.' '[-*]')-pulumi-state}
images=$region-docker.pkg.dev/$(printf %s "$project" | tr ':' '/')
ring=pulumi
key=state
registry=llm-serving
pull_through=docker-hub

command -v gcloud >/dev/null || {
    echo "error: gcloud is not on PATH; install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install" >&2
    exit 1
}
step() { printf '%s\n' "- $*"; }

step "APIs of project $project (the first time takes a minute or two)"
gcloud services enable --project "$project" --quiet \
    compute.googleapis.com container.googleapis.com containerfilesystem.googleapis.com dns.googleapis.com \
    storage.googleapis.com cloudkms.googleapis.com iam.googleapis.com iamcredentials.googleapis.com \
    artifactregistry.googleapis.com containerscanning.googleapis.com cloudresourcemanager.googleapis.com \
    serviceusage.googleapis.com logging.googleapis.com monitoring.googleapis.com

step "bucket gs://$bucket"
if ! gcloud storage buckets describe "gs://$bucket" --project "$project" >/dev/null 2>&1; then
    gcloud storage buckets create "gs://$bucket" --project "$project" --location "$region" --quiet \
        --uniform-bucket-level-access --public-access-prevention
fi
# Versions of the state are the way back from a mistake.
gcloud storage buckets update "gs://$bucket" --versioning --quiet >/dev/null

step "registry $images/$registry"
if ! gcloud artifacts repositories describe "$registry" --project "$project" --location "$region" >/dev/null 2>&1; then
    gcloud artifacts repositories create "$registry" --project "$project" --location "$region" --quiet \
        --repository-format docker --immutable-tags --description "Images of llm-serving, for all environments"
fi

step "remote repository $images/$pull_through, which caches Docker Hub's images"
if ! gcloud artifacts repositories describe "$pull_through" --project "$project" --location "$region" >/dev/null 2>&1; then
    gcloud artifacts repositories create "$pull_through" --project "$project" --location "$region" --quiet \
        --repository-format docker --mode remote-repository --remote-docker-repo DOCKER-HUB \
        --description "Images of Docker Hub, for all environments in $region"
fi

step "KMS key $ring/$key in $region"
if ! gcloud kms keyrings describe "$ring" --project "$project" --location "$region" >/dev/null 2>&1; then
    gcloud kms keyrings create "$ring" --project "$project" --location "$region" --quiet
fi
if ! gcloud kms keys describe "$key" --keyring "$ring" --project "$project" --location "$region" >/dev/null 2>&1; then
    gcloud kms keys create "$key" --keyring "$ring" --project "$project" --location "$region" --quiet \
        --purpose encryption --rotation-period 90d --next-rotation-time "$(date -u -d '+90 days' +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v+90d +%Y-%m-%dT%H:%M:%SZ)"
fi

cat <<EOF

Ready. Next, with STACK one of dev, staging, prod (docs/cloud-account.md, from step 4 on):
  stacks quotas STACK        # the GPU quotas to ask for
  stacks images push model-loader@0.1.0 --archive FILE --to $images/$registry    # once; so for each that check names
  stacks check STACK
  pulumi login gs://$bucket
  pulumi stack init STACK --secrets-provider "gcpkms://projects/$project/locations/$region/keyRings/$ring/cryptoKeys/$key"
  pulumi preview --stack STACK
EOF
