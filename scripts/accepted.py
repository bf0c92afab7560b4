"""Findings of scripts/scan.py that are left as they are, and why; what is not found any more must leave this list."""

ACCEPTED: dict[str, dict[tuple[str, str], str]] = {
    "checkov": {
        ("CKV_AWS_18", "Bucket"): "CloudTrail's data events tell who read what, without a second bucket of names",
        (
            "CKV_AWS_21",
            "Bucket",
        ): "what expires or is deleted must be gone; a task writes each object under its job's name",
        ("CKV_AWS_27", "*Queue"): "knows KMS only; test_hardening.py sees that SQS encrypts with keys of its own",
        (
            "CKV_AWS_115",
            "*",
        ): "queues have a maximum concurrency, the API a rate; a reservation takes from other stacks",
        ("CKV_AWS_116", "*"): "queues and the gateway wait for the answer; only asynchronous calls have such a queue",
        ("CKV_AWS_117", "*"): "there is nothing private to reach, and what a VPC's functions reach outside is the same",
        ("CKV_AWS_119", "*Table"): "AWS's KMS key: whoever may read a table could use a key of ours as well",
        ("CKV_AWS_149", "*Secret"): "AWS's KMS key, for the same reason",
        ("CKV_AWS_158", "*Logs"): "CloudWatch's own encryption, for the same reason",
        ("CKV_AWS_173", "*"): "variables name things and hold no secret (test_hardening.py); Lambda encrypts them",
    },
    "cfn-lint": {
        ("ES1001", "*Messages"): "a queue's mapping can have no destination; the queue has its dead letters",
        ("ES6000", "DeadLetterQueue"): "is where dead letters go",
        (
            "WS1004",
            "*",
        ): "looks for groups under Lambda's names; test_hardening.py sees that each function's own expires",
    },
    "cfn-guard": {
        ("CT.CLOUDWATCH.PR.1", "*"): "follows no !If; every alarm speaks where a topic is given (test_expanded.py)",
        ("CT.CLOUDWATCH.PR.2", "*Logs"): "nobody needs them for a year; who must keep them sets LogRetention",
        ("CT.CLOUDWATCH.PR.3", "*Logs"): "as CKV_AWS_158",
        ("CT.LAMBDA.PR.2", "ApiRequestsPermission"): "follows no !Sub; it names the one API (test_hardening.py)",
        ("CT.LAMBDA.PR.3", "*"): "as CKV_AWS_117",
        ("CT.S3.PR.2", "Bucket"): "as CKV_AWS_18",
        ("CT.S3.PR.8", "BucketPolicy"): "follows no !Sub; test_hardening.py reads the policy",
        ("CT.S3.PR.9", "Bucket"): "as CKV_AWS_21: a lock would keep what must go",
        ("CT.S3.PR.10", "Bucket"): "S3's own encryption, as CKV_AWS_119",
        ("CT.S3.PR.11", "Bucket"): "as CKV_AWS_21",
        ("CT.SQS.PR.1", "DeadLetterQueue"): "as ES6000",
    },
    # ruff has most of these rules, and asks for a reason at each place.
    "bandit": {
        ("B101", "*"): "ruff's S101",
        ("B104", "*"): "ruff's S104",
        ("B105", "*"): "ruff's S105",
        ("B310", "local/account.py"): "ruff's S310",
        ("B311", "*"): "ruff's S311",
        ("B406", "local/*"): "escapes what is written, and reads no XML",
        **{
            (rule, f"{folder}/*"): "programs for a developer's machine, which run lists of their own making"
            for rule in ("B404", "B603")
            for folder in ("benchmarks", "local", "scripts")
        },
        ("B606", "local/redrive.py"): "ruff's S606",
    },
    "pip-audit": {},
}
"""By scanner, and by rule and place (a resource of the template, a file, a package)."""
