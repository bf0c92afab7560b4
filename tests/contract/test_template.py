"""What template.yaml must say for a job's way to hold, and that every task's block says it in the same words."""

import json
import re
from typing import Any

import pytest

import catalog
from afterward import Task
from afterward.delivery import LEG_RECEIVES
from tests.contract.resources import Template, allowed, many, of_the_runtime, statements, targets
from uploads import PREFIX

BLOCK = ("", "Role", "Queue", "Logs", "Errors", "Throttles", "Age")
"""What belongs to a task, as suffixes of its logical id, in the order in which it stands in the template."""

TIMES = {3_600: "an hour", 18_000: "five hours", 345_600: "four days"}
"""What an alarm on a message's age calls its seconds."""

NO_TASKS = ["S3Upload", "DeadLetter"]
"""Functions on a queue that no task declares: their blocks stand in the same order, their policies are their own."""

WILDCARDS = {
    ("BucketPolicy", "${Bucket.Arn}/*"): "a bucket's policy speaks of all its objects, to deny them without TLS",
    ("QueuesPolicy", "*"): "a queue's policy speaks of that queue, to deny it without TLS",
    ("AddJobsPolicy", "${Bucket.Arn}/envelopes/*"): "a prefix: the objects' names are the jobs'",
    ("RunJobsPolicy", "${Bucket.Arn}/envelopes/*"): "the same",
    ("RunJobsPolicy", "${Bucket.Arn}/archive/*"): "the same",
    ("ApiRole", "${Bucket.Arn}/archive/*"): "the same",
    ("ApiRole", "${Bucket.Arn}/results/*"): "the same, with the names that tasks give",
    ("ApiRole", "${Bucket.Arn}/uploads/*"): "the same, by owner and job",
    ("FetchExternalDataRole", "${Bucket.Arn}/results/*"): "the same",
    ("SlowTaskRole", "${Bucket.Arn}/scratch/*"): "the same, by owner, chain and job",
    ("CleanupRole", "${Bucket.Arn}/scratch/*"): "the same",
    ("ProcessCsvRole", "${Bucket.Arn}/uploads/*"): "the same, and files that somebody else has put there",
    ("ProcessCsvRole", "${Bucket.Arn}/scratch/*"): "the same, by owner, chain and job",
    ("ScanCsvRole", "${Bucket.Arn}/uploads/*"): "as for ProcessCsv",
    ("ScanCsvRole", "${Bucket.Arn}/scratch/*"): "the same",
    ("SplitCsvRole", "${Bucket.Arn}/uploads/*"): "the same",
    ("SplitCsvRole", "${Bucket.Arn}/scratch/*"): "the same",
    ("ProcessCsvChunkRole", "${Bucket.Arn}/uploads/*"): "the same",
    ("ProcessCsvChunkRole", "${Bucket.Arn}/scratch/*"): "the same",
    ("MergeCsvRole", "${Bucket.Arn}/scratch/*"): "the same",
    ("MergeCsvRole", "${Bucket.Arn}/results/*"): "a prefix: the objects' names are the jobs'",
    ("TracePolicy", "*"): "X-Ray has no finer grain for writing traces",
}
"""Every place where a resource ends in a wildcard, and why."""


def block(template: Template, logical_id: str, name: str) -> list[Any]:
    """Return a task's resources with its names taken out and without what is a task's own choice."""
    resources = template["Resources"]
    text = json.dumps([resources[logical_id + suffix] for suffix in BLOCK])
    parts = json.loads(text.replace(logical_id, "<Task>").replace(name, "<task>"))
    function, role, queue = (parts[place]["Properties"] for place in range(3))
    for own in ("Environment", "Timeout", "MemorySize", "Layers"):
        function.pop(own, None)
    role["Policies"] = role["Policies"][0]["PolicyDocument"]["Statement"][:4]
    function["Events"]["Messages"]["Properties"].pop("BatchSize")
    function["Events"]["Messages"]["Properties"].pop("ScalingConfig")
    queue.pop("VisibilityTimeout")
    queue["RedrivePolicy"].pop("maxReceiveCount")
    age = parts[BLOCK.index("Age")]["Properties"]
    assert f"more than {TIMES[age.pop('Threshold')]}" in age.pop("AlarmDescription")
    return [*parts]


def waits(task: Task[...]) -> float:
    """Return the seconds that a job's attempts may lie apart, all together."""
    return sum(task.backoff.delay(attempt, lambda limit: limit) for attempt in range(1, task.max_attempts))


def timeout(template: Template, logical_id: str) -> int:
    default = template["Globals"]["Function"]["Timeout"]
    return int(template["Resources"][logical_id]["Properties"].get("Timeout", default))


def consumers(template: Template) -> dict[str, tuple[Template, Template]]:
    """Return the SQS event and the queue of every function that has one."""
    found = {}
    for logical_id, resource in template["Resources"].items():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "SQS":
                queue, attribute = event["Properties"]["Queue"]["Fn::GetAtt"]
                assert attribute == "Arn"
                found[logical_id] = (event["Properties"], template["Resources"][queue]["Properties"])
    return found


def test_blocks_of_all_tasks_are_the_same(template: Template, tasks: dict[str, str]) -> None:
    """A task's function, queue, log and alarms differ from any other task's only in its names and its own choices."""
    blocks = {logical_id: block(template, logical_id, name) for logical_id, name in tasks.items()}
    first = next(iter(blocks))
    for logical_id, parts in blocks.items():
        assert parts == blocks[first], f"{logical_id} differs from {first}"


def test_blocks_stand_in_the_same_order(template: Template, tasks: dict[str, str]) -> None:
    """A task's resources stand together, in the order of every other task's."""
    order = list(template["Resources"])
    for logical_id in [*tasks, *NO_TASKS]:
        start = order.index(logical_id)
        assert order[start : start + len(BLOCK)] == [logical_id + suffix for suffix in BLOCK]


def test_every_function_on_a_queue_is_known(template: Template, tasks: dict[str, str]) -> None:
    """No queue is consumed by a function that no task declares, but for those of uploads and of dead letters."""
    assert set(consumers(template)) == {*tasks, *NO_TASKS}


def test_visibility_is_six_timeouts(template: Template) -> None:
    """A message stays hidden for six times its function's timeout, as AWS asks of event sources."""
    for logical_id, (_, queue) in consumers(template).items():
        assert queue["VisibilityTimeout"] == 6 * timeout(template, logical_id), logical_id


def test_deliveries_end_long_before_the_message_does(template: Template, tasks: dict[str, str]) -> None:
    """All deliveries of a message fit into half of its life, so that it dies as a dead letter and never of age."""
    for logical_id in [*tasks, "S3Upload"]:
        queue = template["Resources"][f"{logical_id}Queue"]["Properties"]
        deliveries = queue["RedrivePolicy"]["maxReceiveCount"]
        assert queue["MessageRetentionPeriod"] == 7 * 86_400
        assert 10 < deliveries <= 1000
        assert deliveries * queue["VisibilityTimeout"] <= queue["MessageRetentionPeriod"] / 2, logical_id


def test_throttling_wears_out_no_good_message(template: Template, tasks: dict[str, str]) -> None:
    """A function takes no more than it may run, and if it may run nothing, its messages last for half a day of that.

    A delivery that Lambda throttles counts as a receive: maxReceiveCount of them are what a good message has.
    """
    for logical_id in [*tasks, "S3Upload"]:
        event, queue = consumers(template)[logical_id]
        assert 2 <= event["ScalingConfig"]["MaximumConcurrency"] <= 1000, logical_id
        assert "ReservedConcurrentExecutions" not in template["Resources"][logical_id]["Properties"], logical_id
        deliveries = queue["RedrivePolicy"]["maxReceiveCount"]
        hours = deliveries * queue["VisibilityTimeout"] / 3_600
        assert hours >= 12, f"{logical_id}: {hours:.1f} h"


def test_a_job_goes_on_as_a_new_message_before_its_queue_gives_it_up(template: Template, tasks: dict[str, str]) -> None:
    """A job of many invocations never dies as a dead letter for that."""
    for logical_id in tasks:
        _, queue = consumers(template)[logical_id]
        assert queue["RedrivePolicy"]["maxReceiveCount"] > LEG_RECEIVES, logical_id


def test_dead_letters_live_longer_than_any_message(template: Template) -> None:
    """A dead letter keeps the age of its message, so its queue keeps it 14 days, and passes it on to nobody."""
    queue = template["Resources"]["DeadLetterQueue"]["Properties"]
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    assert "RedrivePolicy" not in queue


def test_every_queue_gives_up_to_the_shared_dead_letters(template: Template, tasks: dict[str, str]) -> None:
    """Every queue that feeds a function redrives to the one dead-letter queue."""
    for logical_id in [*tasks, "S3Upload"]:
        redrive = template["Resources"][f"{logical_id}Queue"]["Properties"]["RedrivePolicy"]
        assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}


def test_batches_report_single_failures(template: Template) -> None:
    """Every consumer answers for each message of a batch, and names its event `Messages`."""
    for logical_id, (event, _) in consumers(template).items():
        assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"], logical_id
        assert event["ScalingConfig"]["MaximumConcurrency"] >= 2
        assert list(template["Resources"][logical_id]["Properties"]["Events"]) == ["Messages"]


def test_every_function_knows_every_queue(template: Template, tasks: dict[str, str]) -> None:
    """All functions have each queue's URL in a variable: the API adds jobs, and the others hand over to successors."""
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    queues = {name: value for name, value in variables.items() if name.startswith("AFTERWARD_QUEUE_")}
    assert queues == {
        f"AFTERWARD_QUEUE_{name.upper()}": {"Fn::GetAtt": [f"{id_}Queue", "QueueName"]} for id_, name in tasks.items()
    }
    assert variables["AFTERWARD_DEAD_LETTER_QUEUE"] == {"Ref": "DeadLetterQueue"}


def test_whoever_adds_jobs_may_send_to_every_queue(template: Template, tasks: dict[str, str]) -> None:
    """The API, every worker and the function of dead letters may send to every task's queue; uploads become one task's.

    What comes after a job is for the request to say, and not for the job's task.
    """
    sends = {one for one in allowed(template, by="AddJobsPolicy") if one.startswith("sqs:")}
    assert sends == {f"sqs:SendMessage on {logical_id}Queue" for logical_id in tasks}
    for logical_id in ["Api", *tasks, *NO_TASKS]:
        policies = template["Resources"][f"{logical_id}Role"]["Properties"]["ManagedPolicyArns"]
        assert ({"Ref": "AddJobsPolicy"} in policies) == (logical_id != "S3Upload"), logical_id


def test_lambda_itself_writes_and_polls_what_is_the_functions_own(template: Template, tasks: dict[str, str]) -> None:
    """A function's role lets nobody write other logs or receive from other queues; traces alone have no finer grain."""
    for logical_id in ["Api", *tasks, *NO_TASKS]:
        queue = (
            set()
            if logical_id == "Api"
            else {
                f"sqs:{action} on {logical_id}Queue"
                for action in ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
            }
        )
        logs = {f"logs:{action} on {logical_id}Logs" for action in ("CreateLogStream", "PutLogEvents")}
        assert of_the_runtime(template, by=logical_id) == logs | queue
        function, role = (template["Resources"][name]["Properties"] for name in (logical_id, f"{logical_id}Role"))
        assert function["Role"] == {"Fn::GetAtt": [f"{logical_id}Role", "Arn"]}
        assert {"Ref": "TracePolicy"} in role["ManagedPolicyArns"]


def test_a_worker_steers_its_own_messages_only(template: Template, tasks: dict[str, str]) -> None:
    """A worker changes the visibility of its own queue's messages, sends dead letters, and reads no queue of others."""
    for logical_id in tasks:
        sqs = {one for one in allowed(template, by=logical_id) if one.startswith("sqs:")}
        assert sqs == {f"sqs:ChangeMessageVisibility on {logical_id}Queue", "sqs:SendMessage on DeadLetterQueue"}


IN_PARTS = ("PutObject", "ListMultipartUploadParts")
"""What writing an object of any size takes; who does not go on with it in another attempt throws it away, too."""

OWN = {
    "SendNotification": {"dynamodb:PutItem on NotificationsTable"},
    "SendEmail": {"secretsmanager:GetSecretValue on SmtpSecretArn"},
    "LongRunningTask": set(),
    "SlowTask": {"s3:PutObject on ${Bucket.Arn}/scratch/*"},
    "Cleanup": {"s3:DeleteObject on ${Bucket.Arn}/scratch/*"},
    "ProcessData": set(),
    "LogActivity": {"dynamodb:PutItem on ActivityTable"},
    "UpdateStatistics": {"dynamodb:UpdateItem on StatisticsTable"},
    "FetchExternalData": {"s3:PutObject on ${Bucket.Arn}/results/*"},
    "SendWebhook": {"secretsmanager:GetSecretValue on WebhookSecret"},
    "ActionNotification": {
        "dynamodb:PutItem on ActivityTable",
        "dynamodb:UpdateItem on StatisticsTable",
        "secretsmanager:GetSecretValue on SmtpSecretArn",
    },
    "ProcessCsv": {
        "s3:GetObject on ${Bucket.Arn}/uploads/*",
        *(f"s3:{action} on ${{Bucket.Arn}}/scratch/*" for action in ("GetObject", *IN_PARTS, "AbortMultipartUpload")),
    },
    "ScanCsv": {
        "s3:GetObject on ${Bucket.Arn}/uploads/*",
        *(f"s3:{action} on ${{Bucket.Arn}}/scratch/*" for action in ("GetObject", "PutObject")),
    },
    "SplitCsv": {
        "s3:GetObject on ${Bucket.Arn}/uploads/*",
        *(f"s3:{action} on ${{Bucket.Arn}}/scratch/*" for action in ("GetObject", "PutObject")),
    },
    "ProcessCsvChunk": {
        "s3:GetObject on ${Bucket.Arn}/uploads/*",
        *(f"s3:{action} on ${{Bucket.Arn}}/scratch/*" for action in ("GetObject", *IN_PARTS, "AbortMultipartUpload")),
        "secretsmanager:GetSecretValue on PiiHashSecret",
    },
    "MergeCsv": {
        "s3:GetObject on ${Bucket.Arn}/scratch/*",
        *(f"s3:{action} on ${{Bucket.Arn}}/results/*" for action in ("GetObject", *IN_PARTS)),
    },
    "NotifyOfFailure": set(),
}
"""What a task's function may do beside handling jobs."""


@pytest.mark.parametrize("logical_id", OWN)
def test_a_worker_touches_what_its_task_does(template: Template, logical_id: str) -> None:
    """A function has the rights that its own task needs, and those of no other."""
    assert {one for one in allowed(template, by=logical_id) if not one.startswith("sqs:")} == OWN[logical_id]


def test_the_api_reads_and_writes_no_more_than_it_answers_with(template: Template) -> None:
    """The API steers jobs by their records alone: it receives no message, deletes nothing and stores only uploads."""
    assert allowed(template, by="Api") == {
        *(f"dynamodb:{action} on JobsTable" for action in ("DeleteItem", "UpdateItem")),
        *(f"dynamodb:Query on {table}" for table in ("NotificationsTable", "ActivityTable", "StatisticsTable")),
        "dynamodb:Query on ${JobsTable.Arn}/index/listing",
        "s3:GetObject on ${Bucket.Arn}/archive/*",
        "s3:GetObject on ${Bucket.Arn}/results/*",
        "s3:PutObject on ${Bucket.Arn}/uploads/*",
        "s3:ListBucket on Bucket",
        "secretsmanager:GetSecretValue on DigestSecret",
    }


def test_uploads_become_jobs_and_nothing_else(template: Template) -> None:
    """What turns uploads into jobs names them as the API does, and reads no object and no queue but its own."""
    assert allowed(template, by="S3Upload") == {
        *(f"dynamodb:{action} on JobsTable" for action in ("DeleteItem", "PutItem", "UpdateItem")),
        "sqs:SendMessage on ProcessCsvQueue",
        "secretsmanager:GetSecretValue on DigestSecret",
    }


def test_only_our_buckets_send_to_the_uploads_queue(template: Template) -> None:
    """S3 may send for buckets of this account, and it may before the bucket tells it to."""
    found = statements(template["Resources"]["S3UploadQueuePolicy"])
    (statement,) = [one for one in found if one["Effect"] == "Allow"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert (statement["Action"], targets(statement)) == ("sqs:SendMessage", ["S3UploadQueue"])
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert template["Resources"]["Bucket"]["DependsOn"] == "S3UploadQueuePolicy"


def test_every_object_under_uploads_is_told_of(template: Template) -> None:
    """Whatever creates an object where uploads lie is told to the queue, and nothing of what tasks themselves put."""
    (told,) = template["Resources"]["Bucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert told == {
        "Event": "s3:ObjectCreated:*",
        "Queue": {"Fn::GetAtt": ["S3UploadQueue", "Arn"]},
        "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": PREFIX}]}},
    }


def test_only_the_api_takes_records_back(template: Template, tasks: dict[str, str]) -> None:
    """No worker deletes a record or lists jobs, whatever task it runs."""
    for logical_id in ("AddJobsPolicy", "RunJobsPolicy", "DeadLetter", *tasks):
        on_jobs = {one for one in allowed(template, by=logical_id) if "on JobsTable" in one}
        assert on_jobs <= {f"dynamodb:{action}Item on JobsTable" for action in ("BatchGet", "Get", "Put", "Update")}


def test_an_alarm_waits_longer_than_its_jobs_may(template: Template, tasks: dict[str, str]) -> None:
    """A message that only waits for its next attempt raises no alarm."""
    for logical_id, name in tasks.items():
        threshold = template["Resources"][f"{logical_id}Age"]["Properties"]["Threshold"]
        assert threshold > waits(getattr(catalog, name)), logical_id


def test_no_policy_says_more_than_it_must(template: Template) -> None:
    """No statement allows a wildcard of actions, and each wildcard of resources is listed here with its reason."""
    found = set()
    for logical_id, resource in template["Resources"].items():
        for statement in statements(resource.get("Properties", {})):
            if statement["Effect"] == "Allow":
                assert not [action for action in many(statement["Action"]) if "*" in action], logical_id
            found |= {(logical_id, target) for target in targets(statement) if "*" in target}
    assert found == set(WILDCARDS)


def test_variables_fit_into_a_function(template: Template) -> None:
    """Each function's variables stay below Lambda's 4 KB, also with the longest names that AWS may give."""
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            own = resource["Properties"].get("Environment", {}).get("Variables", {})
            size = sum(len(name) + longest(template, value) for name, value in (shared | own).items())
            print(f"{logical_id}: at most {size} bytes of variables")
            assert size < 4_096, logical_id


def longest(template: Template, value: Any) -> int:
    """Return how long a variable's value may become."""
    if isinstance(value, str):
        return len(value)
    if "Fn::GetAtt" in value:
        return LONGEST[value["Fn::GetAtt"][1]]
    name = value["Ref"]
    if (parameter := template["Parameters"].get(name)) is not None:
        return max(map(len, map(str, parameter.get("AllowedValues", []))), default=LONGEST.get(name, 10))
    return LONGEST[template["Resources"][name]["Type"]]


ARN = "arn:aws-us-gov:secretsmanager:ap-southeast-2:123456789012:secret:"
LONGEST = {
    "QueueName": 80,
    "AWS::SQS::Queue": len("https://sqs.ap-southeast-2.amazonaws.com.cn/123456789012/") + 80,
    "AWS::DynamoDB::Table": 128 + len("-NotificationsTable-") + 13,
    "AWS::S3::Bucket": 63,
    "AWS::SecretsManager::Secret": len(ARN) + 64 + 7,
    "SmtpSecretArn": len(ARN) + 512 + 7,
    "SmtpHost": 253,
    "SmtpSender": 254,
    "JwtIssuer": 512,
}
"""Characters of a `!Ref`, by parameter or by the resource's type, or of a `!GetAtt`, by the attribute.

CloudFormation makes names of the stack's, which has at most 128, the logical id and up to 13 of its own. It cuts a
queue's at 80, a secret's at 64.
"""


@pytest.mark.parametrize("table", ["JobsTable", "NotificationsTable", "ActivityTable", "StatisticsTable"])
def test_tables_keep_what_they_hold(template: Template, table: str) -> None:
    """A table is paid per request, encrypted, restorable to a point in time, and outlives its stack."""
    resource = template["Resources"][table]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"
    properties = resource["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["SSESpecification"] == {"SSEEnabled": True}


@pytest.mark.parametrize("table", ["JobsTable", "NotificationsTable"])
def test_records_and_notifications_go_by_themselves(template: Template, table: str) -> None:
    """Records and lines of inboxes expire; a user's activity and statistics stay."""
    kept = template["Resources"][table]["Properties"]["TimeToLiveSpecification"]
    assert kept == {"AttributeName": "expires", "Enabled": True}
    for lasting in ("ActivityTable", "StatisticsTable"):
        assert "TimeToLiveSpecification" not in template["Resources"][lasting]["Properties"]


def test_objects_outlive_whatever_may_ask_for_them(template: Template) -> None:
    """An upload, envelope or result stays as long as its record (30 days) and a dead letter (14) together may.

    What a failed job has left lies there as long as a dead letter, so that a retry goes on from it.
    """
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert days == {
        "uploads/": 30 + 14,
        "envelopes/": 30 + 14,
        "archive/": 90,
        "results/": 30 + 14,
        "scratch/": 14,
    }


def test_pages_from_elsewhere_may_upload_only_where_they_are_named(template: Template) -> None:
    """No script of another origin may post to the bucket unless UploadOrigins names it."""
    assert template["Parameters"]["UploadOrigins"]["Default"] == ""
    assert template["Resources"]["Bucket"]["Properties"]["CorsConfiguration"] == {
        "Fn::If": [
            "HasUploadOrigins",
            {"CorsRules": [{"AllowedMethods": ["POST"], "AllowedOrigins": {"Ref": "UploadOrigins"}}]},
            {"Ref": "AWS::NoValue"},
        ]
    }


def test_the_webhooks_key_is_one_as_it_stands(template: Template) -> None:
    """The secret is 64 letters and digits: the base64 of 48 bytes, which Standard Webhooks takes (24 to 64)."""
    wanted = template["Resources"]["WebhookSecret"]["Properties"]["GenerateSecretString"]
    assert wanted == {"PasswordLength": 64, "ExcludePunctuation": True}


def test_every_log_expires(template: Template) -> None:
    """Every function writes to a log group of the template, and each keeps its lines for LogRetention days."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            assert resource["Properties"]["LoggingConfig"] == {"LogGroup": {"Ref": f"{logical_id}Logs"}}
        if resource["Type"] == "AWS::Logs::LogGroup":
            assert resource["Properties"] == {"RetentionInDays": {"Ref": "LogRetention"}}


def test_access_logs_name_nobody(template: Template) -> None:
    """The gateway's log has neither paths nor queries, which carry e-mail addresses, and is JSON."""
    line = template["Resources"]["HttpApi"]["Properties"]["AccessLogSettings"]["Format"]
    fields = set(re.findall(r"\$context\.([a-zA-Z.]+)", line))
    assert json.loads(line).keys() >= {"requestId", "status"}
    assert not {field for field in fields if re.search("path|query|identity|claims", field, re.IGNORECASE)}


def test_no_route_is_open(template: Template) -> None:
    """Every route asks for a token of an issuer and an audience that whoever deploys has to name."""
    assert not {"Default"} & {*template["Parameters"]["JwtIssuer"], *template["Parameters"]["JwtAudience"]}
    resources = template["Resources"]
    assert resources["HttpApi"]["Properties"]["Auth"] == {
        "DefaultAuthorizer": "Jwt",
        "Authorizers": {
            "Jwt": {
                "IdentitySource": "$request.header.Authorization",
                "JwtConfiguration": {"issuer": {"Ref": "JwtIssuer"}, "audience": [{"Ref": "JwtAudience"}]},
            }
        },
    }
    assert [key for key, one in resources.items() if re.search(r"Api\b|Url$|Route$", one["Type"])] == ["HttpApi"]
    for logical_id, one in resources.items():
        assert "FunctionUrlConfig" not in one["Properties"], logical_id
        for event in one["Properties"].get("Events", {}).values():
            if event["Type"] != "SQS":
                assert event["Type"] == "HttpApi", logical_id
                assert event["Properties"]["ApiId"] == {"Ref": "HttpApi"}
                assert "Auth" not in event["Properties"]
