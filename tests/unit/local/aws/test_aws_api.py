"""The API of the local AWS, asked by a real client: what moto lacks and the local clouds need."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from botocore.exceptions import ClientError

from llm_serving.cloud.aws import karpenter
from local.aws import AwsApi
from tests.unit.local.aws.notices import notices, queue_with_rules

REGION = "us-east-1"
PRICES = {"g6.xlarge": 0.805, "g6.2xlarge": 0.978, "g6.12xlarge": 4.602}
RESERVATION = "cr-0123456789abcdef0"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A running API."""
    folder = tmp_path_factory.mktemp("local-aws")
    made = AwsApi(folder / "aws", folder / "capacity.yaml")
    made.start()
    yield made
    made.delete()


@pytest.fixture(scope="module")
def ec2(api):
    """A client of EC2."""
    return api.client("ec2", REGION)


@pytest.fixture(scope="module")
def vpc(ec2):
    """A network."""
    return ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture(scope="module")
def group(ec2, vpc):
    """A security group."""
    return ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)["GroupId"]


@pytest.fixture(scope="module")
def subnets(ec2, vpc):
    """A subnet in each of two zones, by zone."""
    return {
        zone: ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(("us-east-1a", "us-east-1b"))
    }


@pytest.fixture
def capacity(api):
    """Writes the file that says what machines there are."""

    def write(**content):
        api.capacity.write_text(yaml.safe_dump(content))

    yield write
    api.capacity.unlink(missing_ok=True)


@pytest.fixture
def fleet(ec2, subnets, group):
    """Creates fleets, and terminates their machines in the end."""
    launched = []

    def create(machines=PRICES, zones=("us-east-1a",), market="on-demand", reservation=None, count=1):
        interface = {"DeviceIndex": 0, "Groups": [group]}
        data = {"ImageId": "ami-0d27e0fb3bac4d724", "NetworkInterfaces": [interface]}
        if reservation:
            data["CapacityReservationSpecification"] = {
                "CapacityReservationTarget": {"CapacityReservationId": reservation}
            }
        name = f"t-{time.monotonic_ns()}"
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        overrides = [
            {"InstanceType": kind, "SubnetId": subnets[zone], "AvailabilityZone": zone, "Priority": PRICES[kind]}
            for kind in sorted(machines, reverse=True)  # the dearest first
            for zone in zones
        ]
        answer = ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "$Latest"},
                    "Overrides": overrides,
                }
            ],
            TargetCapacitySpecification={"DefaultTargetCapacityType": market, "TotalTargetCapacity": count},
        )
        launched.extend(id for each in answer["Instances"] for id in each["InstanceIds"])
        return answer

    yield create
    if launched:
        ec2.terminate_instances(InstanceIds=launched)


def types(answer):
    return [each["InstanceType"] for each in answer["Instances"]]


def errors(answer):
    return [
        (
            each["ErrorCode"],
            each["LaunchTemplateAndOverrides"]["Overrides"]["InstanceType"],
            each["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"],
        )
        for each in answer["Errors"]
    ]


def describe(ec2, answer):
    ids = [id for each in answer["Instances"] for id in each["InstanceIds"]]
    return [
        each
        for reservation in ec2.describe_instances(InstanceIds=ids)["Reservations"]
        for each in reservation["Instances"]
    ]


@pytest.mark.parametrize("market", ["on-demand", "spot"])
def test_a_fleet_takes_the_cheapest_machine_that_it_is_offered(ec2, fleet, group, market):
    answer = fleet(market=market)
    assert types(answer) == ["g6.xlarge"]
    (instance,) = describe(ec2, answer)
    assert (instance["InstanceType"], instance["Placement"]["AvailabilityZone"]) == ("g6.xlarge", "us-east-1a")
    assert ("SpotInstanceRequestId" in instance) == (market == "spot")
    assert [each["GroupId"] for each in instance["SecurityGroups"]] == [group]


def test_of_equal_prices_the_smaller_machine_is_taken(fleet, monkeypatch):
    for kind in PRICES:
        monkeypatch.setitem(PRICES, kind, 0.00001)
    assert types(fleet(market="spot")) == ["g6.xlarge"]


def test_machines_that_ec2_does_not_have_are_named_in_the_answer_and_the_next_one_is_taken(fleet, capacity):
    capacity(missing=[{"machine": "g6.xlarge"}, {"machine": "g6.2xlarge", "zone": "us-east-1b"}])
    answer = fleet(zones=("us-east-1a", "us-east-1b"))
    assert types(answer) == ["g6.2xlarge"]
    assert errors(answer) == [
        ("InsufficientInstanceCapacity", "g6.xlarge", "us-east-1a"),
        ("InsufficientInstanceCapacity", "g6.xlarge", "us-east-1b"),
    ]


def test_capacity_that_spot_lacks_is_there_on_demand(fleet, capacity):
    capacity(missing=[{"market": "spot"}])
    refused = fleet(market="spot")
    assert types(refused) == []
    assert {code for code, *_ in errors(refused)} == {"InsufficientInstanceCapacity"}
    assert types(fleet(market="on-demand")) == ["g6.xlarge"]


def test_vcpus_of_machines_that_run_count_against_a_quota(ec2, fleet, capacity):
    capacity(quotas=[{"machine": "g6.*", "vcpus": 4}])
    first = fleet(machines=["g6.xlarge"])
    assert errors(fleet(machines=["g6.xlarge"])) == [("VcpuLimitExceeded", "g6.xlarge", "us-east-1a")]
    ec2.terminate_instances(InstanceIds=first["Instances"][0]["InstanceIds"])
    assert types(fleet(machines=["g6.xlarge"])) == ["g6.xlarge"]


def test_a_capacity_reservation_has_as_many_machines_as_it_was_made_for(ec2, fleet, capacity):
    capacity(reservations=[{"id": RESERVATION, "machine": "g6.xlarge", "zone": "us-east-1a", "count": 1,
                            "tags": {"team": "serving"}}])  # fmt: skip

    def free(**selection):
        shown = ec2.describe_capacity_reservations(**selection)["CapacityReservations"]
        return [(each["CapacityReservationId"], each["AvailableInstanceCount"]) for each in shown]

    assert free(CapacityReservationIds=[RESERVATION]) == [(RESERVATION, 1)]
    assert free(Filters=[{"Name": "tag:team", "Values": ["serving"]}]) == [(RESERVATION, 1)]
    assert free(Filters=[{"Name": "tag:team", "Values": ["search"]}]) == []
    taken = fleet(machines=["g6.xlarge"], reservation=RESERVATION, count=2)
    assert types(taken) == ["g6.xlarge"]
    assert errors(taken) == [("ReservationCapacityExceeded", "g6.xlarge", "us-east-1a")]
    (instance,) = describe(ec2, taken)
    assert instance["CapacityReservationId"] == RESERVATION
    assert free() == [(RESERVATION, 0)]
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assert free() == [(RESERVATION, 1)]


def test_a_capacity_file_that_is_not_well_formed_is_an_error_of_fleets_that_names_the_place(fleet, capacity):
    capacity(missing=[{"machin": "g6.xlarge"}])
    with pytest.raises(ClientError, match=r"missing\[0\]\.machin = 'g6.xlarge': unknown key \(try: machine\)"):
        fleet()


@pytest.mark.parametrize(
    "name",
    [
        "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id",
        "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id",
        "/aws/service/bottlerocket/aws-k8s-1.35/x86_64/latest/image_id",
        "/aws/service/bottlerocket/aws-k8s-1.35-nvidia/x86_64/1.20.0/image_id",
    ],
)
def test_the_parameter_of_an_eks_image_names_an_image_that_there_is(api, ec2, name):
    image = api.client("ssm", REGION).get_parameter(Name=name)["Parameter"]["Value"]
    (shown,) = ec2.describe_images(ImageIds=[image])["Images"]
    assert shown["Architecture"] == "x86_64"


def test_the_parameter_of_an_image_that_the_local_aws_lacks_is_not_found(api):
    with pytest.raises(ClientError, match="ParameterNotFound"):
        api.client("ssm", REGION).get_parameter(
            Name="/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/arm64/standard/recommended/image_id"
        )


def test_a_receiver_that_waits_for_messages_holds_up_nobody_and_gets_what_is_sent_meanwhile(api):
    sqs, sender = api.client("sqs", REGION), api.client("sqs", REGION)
    url = sqs.create_queue(QueueName="interruptions")["QueueUrl"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    with ThreadPoolExecutor() as pool:
        received = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        sender.send_message(QueueUrl=url, MessageBody="one")
        (message,) = received.result()["Messages"]
    assert message["Body"] == "one"


@pytest.fixture(scope="module")
def notified(api):
    """URL of a queue as a stack has it, with its rules."""
    return queue_with_rules(api, REGION, "llm-karpenter")


def received(api, url):
    """Kinds of the events in a queue, which is empty then, and of which instance they tell."""
    messages = api.client("sqs", REGION).receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for each in messages:
        api.client("sqs", REGION).delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    bodies = [json.loads(each["Body"]) for each in messages]
    return sorted((body["detail-type"], body["resources"]) for body in bodies)


def test_events_that_a_stack_waits_for_reach_its_queue_and_no_others(api, notified):
    events = api.client("events", REGION)
    wanted = notices("i-1")
    assert wanted.keys() == karpenter.EVENTS.keys()
    starts = {**wanted["state-change"], "Detail": json.dumps({"instance-id": "i-1", "state": "running"})}
    of_others = {**wanted["scheduled-change"], "Detail": json.dumps({"service": "RDS"})}
    rebalance = {**wanted["spot-interruption"], "DetailType": "EC2 Instance Rebalance Recommendation"}
    answer = events.put_events(Entries=[*wanted.values(), starts, of_others, rebalance])
    assert answer["FailedEntryCount"] == 0
    assert received(api, notified) == sorted((each["DetailType"], ["i-1"]) for each in wanted.values())


def test_a_rule_that_the_policy_of_the_queue_does_not_name_sends_nothing_to_it(api, notified):
    events = api.client("events", REGION)
    arn = api.client("sqs", REGION).get_queue_attributes(QueueUrl=notified, AttributeNames=["QueueArn"])
    events.put_rule(Name="not-ours", EventPattern=json.dumps({"source": ["somebody"]}))
    events.put_targets(Rule="not-ours", Targets=[{"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}])
    events.put_events(Entries=[{"Source": "somebody", "DetailType": "something", "Detail": "{}"}])
    assert received(api, notified) == []


def test_a_receiver_gets_an_event_that_comes_while_it_waits(api, notified):
    sqs, events = api.client("sqs", REGION), api.client("events", REGION)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=notified, WaitTimeSeconds=20)
        events.put_events(Entries=[notices("i-2")["spot-interruption"]])
        (message,) = waiting.result()["Messages"]
    sqs.delete_message(QueueUrl=notified, ReceiptHandle=message["ReceiptHandle"])
    assert json.loads(message["Body"])["detail"]["instance-id"] == "i-2"


def test_a_process_that_starts_anew_has_the_records_of_the_one_before(tmp_path):
    api = AwsApi(tmp_path / "aws", tmp_path / "capacity.yaml")
    try:
        address = api.start()
        ec2, iam = api.client("ec2", REGION), api.client("iam", REGION)
        assert api.start() == address
        default = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]  # read before anything was made
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        gone = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        ec2.delete_vpc(VpcId=gone)
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        role = iam.create_role(RoleName="node", AssumeRolePolicyDocument="{}")["Role"]["RoleId"]
        api.capacity.write_text("missing: [{machine: g6.xlarge}]")
        ec2.create_launch_template(
            LaunchTemplateName="template", LaunchTemplateData={"ImageId": "ami-0d27e0fb3bac4d724"}
        )
        overrides = [{"InstanceType": kind, "SubnetId": subnet} for kind in ("g6.xlarge", "g6.2xlarge")]
        fleet = ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {"LaunchTemplateSpecification": {"LaunchTemplateName": "template"}, "Overrides": overrides}
            ],
            TargetCapacitySpecification={"TotalTargetCapacity": 1},
        )
        api.capacity.unlink()  # what is to be had by now does not change what a fleet got
        with pytest.raises(ClientError):
            ec2.create_subnet(VpcId="vpc-0", CidrBlock="10.0.1.0/24")

        api.stop()
        api.start()
        ec2, iam = api.client("ec2", REGION), api.client("iam", REGION)
        assert {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]} == {default, vpc}
        assert [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"] if each["VpcId"] == vpc] == [subnet]
        assert iam.get_role(RoleName="node")["Role"]["RoleId"] == role
        (instance,) = describe(ec2, fleet)
        assert (instance["InstanceType"], instance["State"]["Name"]) == ("g6.2xlarge", "running")
    finally:
        api.delete()
    assert not api.folder.exists()


def test_the_interfaces_of_an_instance_go_with_it(ec2, fleet):
    answer = fleet(machines=("g6.xlarge",))
    [instance] = answer["Instances"][0]["InstanceIds"]
    of_instance = [{"Name": "attachment.instance-id", "Values": [instance]}]
    [interface] = ec2.describe_network_interfaces(Filters=of_instance)["NetworkInterfaces"]
    ec2.terminate_instances(InstanceIds=[instance])
    left = {each["NetworkInterfaceId"] for each in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    assert interface["NetworkInterfaceId"] not in left
