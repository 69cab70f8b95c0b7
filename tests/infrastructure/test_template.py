"""What the template means, part by part; not what it looks like."""

import json

import pytest

from tests.infrastructure.synthesis import ROOT, as_list, flat, logical_id, synthesise

MAX_TEMPLATE_BYTES = 600_000
MAX_RESOURCES = 400
DAYS_90, DAYS_365 = 90, 365
# A name blocks replacement and a second copy in the account: only what people type has one.
PEOPLE_TYPE = {
    "AWS::StepFunctions::StateMachine": "StateMachineName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
}
NAMING = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Key": "KeyId",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    **PEOPLE_TYPE,
}
# Of the functions only this one: people type its ARN to turn on rotation for a secret, and what
# fails in it stands in its log only.
NAMED_FUNCTION = "RotationRotate"
# An inline policy must have a name, and permissions and resource policies cannot.
WITHOUT_OWN_NAME = {
    "AWS::CloudFormation::Stack",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::SNS::TopicPolicy",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
}


# --- run table ---


def test_the_run_table_outlives_the_stack_and_a_mistake(product):
    ((key, table),) = product.of_type("AWS::DynamoDB::Table").items()

    assert product.resources[key]["DeletionPolicy"] == "Retain"
    assert product.resources[key]["UpdateReplacePolicy"] == "Retain"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_run_table_is_keyed_by_pk_and_costs_nothing_idle(product):
    (table,) = product.of_type("AWS::DynamoDB::Table").values()

    assert table["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_old_records_expire(product):
    (table,) = product.of_type("AWS::DynamoDB::Table").values()

    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_open_runs_are_listed_by_age(product):
    (table,) = product.of_type("AWS::DynamoDB::Table").values()
    (index,) = table["GlobalSecondaryIndexes"]

    assert index["IndexName"] == "open-runs"
    assert index["KeySchema"] == [
        {"AttributeName": "open", "KeyType": "HASH"},
        {"AttributeName": "started_at", "KeyType": "RANGE"},
    ]


# --- topics, queue, key ---


def test_topics_and_queue_are_encrypted_with_the_product_key(product):
    ((key, _),) = product.of_type("AWS::KMS::Key").items()
    holders = [
        *product.of_type("AWS::SNS::Topic").values(),
        *product.of_type("AWS::SQS::Queue").values(),
    ]

    assert len(holders) == 3
    assert {flat(h["KmsMasterKeyId"]) for h in holders} == {f"<{key}.Arn>"}


def test_the_key_rotates(product):
    (key,) = product.of_type("AWS::KMS::Key").values()

    assert key["EnableKeyRotation"] is True


def test_alarms_and_rules_can_use_the_key(product):
    (key,) = product.of_type("AWS::KMS::Key").values()
    services = {
        s["Principal"]["Service"]: s
        for s in key["KeyPolicy"]["Statement"]
        if "Service" in s["Principal"]
    }

    assert set(services) == {"cloudwatch.amazonaws.com", "events.amazonaws.com"}
    for statement in services.values():
        assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert services["cloudwatch.amazonaws.com"]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_the_key_has_no_source_condition_for_eventbridge(product):
    """With one, EventBridge cannot write to the queue, and the lost event leaves no trace."""
    (key,) = product.of_type("AWS::KMS::Key").values()
    (statement,) = [
        s
        for s in key["KeyPolicy"]["Statement"]
        if s["Principal"].get("Service") == "events.amazonaws.com"
    ]

    assert "Condition" not in statement


@pytest.mark.parametrize("topic", ["CoreOperators", "CoreChat"])
def test_topics_take_alarms_of_this_account_over_tls_only(product, topic):
    policy = product.one("AWS::SNS::TopicPolicy", topic)
    deny, allow = policy["PolicyDocument"]["Statement"]

    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_dead_letters_are_kept_two_weeks(product):
    (queue,) = product.of_type("AWS::SQS::Queue").values()

    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_only_the_rules_of_the_stack_write_dead_letters(product):
    (policy,) = product.of_type("AWS::SQS::QueuePolicy").values()
    allowed = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    sources = {logical_id(s["Condition"]["ArnEquals"]["aws:SourceArn"]) for s in allowed}

    assert {s["Principal"]["Service"] for s in allowed} == {"events.amazonaws.com"}
    assert sources == set(product.of_type("AWS::Events::Rule"))


# --- rules ---


def test_every_rule_retries_gives_up_and_keeps_what_it_could_not_deliver(product):
    (queue,) = product.of_type("AWS::SQS::Queue")
    for key, rule in product.of_type("AWS::Events::Rule").items():
        (target,) = rule["Targets"]

        assert target["RetryPolicy"]["MaximumRetryAttempts"] >= 2, key
        assert logical_id(target["DeadLetterConfig"]["Arn"]) == queue, key


def test_an_alarm_event_is_never_delivered_late(product):
    late = {
        key: rule["Targets"][0]["RetryPolicy"]["MaximumEventAgeInSeconds"]
        for key, rule in product.of_type("AWS::Events::Rule").items()
        if rule.get("EventPattern", {}).get("source") == ["aws.cloudwatch"]
    }

    assert set(late.values()) == {900}


def test_alarm_rules_name_exactly_the_alarms_of_their_runbook(product):
    names = [
        (rule["Targets"][0]["Arn"]["Ref"], name)
        for rule in product.of_type("AWS::Events::Rule").values()
        if rule.get("EventPattern", {}).get("source") == ["aws.cloudwatch"]
        for name in rule["EventPattern"]["detail"]["alarmName"]
    ]

    assert sorted(name for _, name in names) == [
        "remediation-ChatMessage-prod-chatSessionId-index-throttled",
        "remediation-ChatMessage-prod-throttled",
        "remediation-ChatSession-prod-throttled",
        "remediation-chat-lambda-errors",
        "remediation-energy-insights-api-prod-5xx",
        "remediation-outage",
    ]
    assert len({machine for machine, _ in names}) == 4


def test_a_suppressed_alarm_is_kept_out_by_the_pattern(product):
    """CloudWatch sends the event although the alarm's actions are suppressed."""
    for rule in product.of_type("AWS::Events::Rule").values():
        pattern = rule.get("EventPattern", {})
        if pattern.get("source") == ["aws.cloudwatch"]:
            assert pattern["detail"]["state"] == {
                "value": ["ALARM"],
                "actionsSuppressedBy": [{"exists": False}],
            }


def test_every_machine_of_a_runbook_has_its_ended_executions_closed(product):
    closing = {
        logical_id(rule["EventPattern"]["detail"]["stateMachineArn"][0]): rule
        for rule in product.of_type("AWS::Events::Rule").values()
        if rule.get("EventPattern", {}).get("source") == ["aws.states"]
    }

    machines = product.of_type("AWS::StepFunctions::StateMachine")
    runbooks = {k for k, m in machines.items() if m["StateMachineName"] != "remediation-approve"}
    assert set(closing) == runbooks
    for rule in closing.values():
        assert rule["EventPattern"]["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
        assert "ObserveFunction" in flat(rule["Targets"][0]["Arn"])


def test_the_sweep_runs_every_five_minutes(product):
    rule = product.one("AWS::Events::Rule", "RoutingSweepClock")

    assert rule["ScheduleExpression"] == "rate(5 minutes)"


# --- alarms ---


def test_every_alarm_tells_the_operators_by_itself(product):
    (topic,) = [k for k in product.of_type("AWS::SNS::Topic") if k.startswith("CoreOperators")]
    # A nested stack gets the topic as a parameter.
    (nested,) = product.of_type("AWS::CloudFormation::Stack").values()
    (handed,) = nested["Parameters"]
    told = ([{"Ref": topic}], [{"Ref": handed}])

    assert nested["Parameters"] == {handed: {"Ref": topic}}
    assert [n for n, a in product.alarms().items() if a.get("AlarmActions") not in told] == []


def test_every_alarm_says_what_to_do_next(product):
    for name, alarm in product.alarms().items():
        assert "docs/" in alarm["AlarmDescription"], name


def test_every_alarm_says_how_missing_data_counts(product):
    for name, alarm in product.alarms().items():
        assert alarm["TreatMissingData"] in {"notBreaching", "breaching"}, name
        assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"], name


def test_the_dead_letter_queue_has_an_alarm(product):
    (queue,) = product.of_type("AWS::SQS::Queue")
    alarm = product.alarms()["remediation-dead-letters"]

    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert [logical_id(d["Value"]) for d in alarm["Dimensions"]] == [queue]


def test_the_alarms_are_these(product):
    assert sorted(product.alarms()) == [
        "remediation-ChatMessage-prod-chatSessionId-index-throttled",
        "remediation-ChatMessage-prod-throttled",
        "remediation-ChatSession-prod-throttled",
        "remediation-breaker-opened",
        "remediation-chat-lambda-errors",
        "remediation-dead-letters",
        "remediation-energy-insights-api-prod-5xx",
        "remediation-own-failure",
        "remediation-silent",
        "remediation-target-quarantined",
    ]


def test_the_outage_is_every_api_and_something_behind_it(product):
    (outage,) = product.of_type("AWS::CloudWatch::CompositeAlarm").values()

    assert outage["AlarmName"] == "remediation-outage"
    assert outage["AlarmRule"] == (
        'ALARM("remediation-energy-insights-api-prod-5xx") AND '
        '(ALARM("remediation-chat-lambda-errors")'
        ' OR ALARM("remediation-ChatMessage-prod-throttled")'
        ' OR ALARM("remediation-ChatMessage-prod-chatSessionId-index-throttled")'
        ' OR ALARM("remediation-ChatSession-prod-throttled"))'
    )
    assert len(outage["AlarmActions"]) == 1
    assert "docs/operate.md, Outage" in outage["AlarmDescription"]


# --- machines and functions ---


def test_machines_have_the_names_that_people_type(product):
    names = {
        m["StateMachineName"] for m in product.of_type("AWS::StepFunctions::StateMachine").values()
    }

    expected = {f"remediation-{entry.runbook.kebab}" for entry in product.entries}
    assert "remediation-dynamodb-throttling" in expected
    assert names == expected | {"remediation-approve"}


def test_machines_log_every_event_but_no_data(product):
    groups = set(product.of_type("AWS::Logs::LogGroup"))
    for machine in product.of_type("AWS::StepFunctions::StateMachine").values():
        logging = machine["LoggingConfiguration"]
        (destination,) = logging["Destinations"]

        assert logging["Level"] == "ALL"
        assert logging["IncludeExecutionData"] is False
        assert logical_id(destination["CloudWatchLogsLogGroup"]["LogGroupArn"]) in groups


def test_machines_are_traced(product):
    for machine in product.of_type("AWS::StepFunctions::StateMachine").values():
        assert machine["TracingConfiguration"] == {"Enabled": True}


def test_definitions_are_minified_and_have_a_time_out(product):
    for machine in product.of_type("AWS::StepFunctions::StateMachine").values():
        text = product.definition_text(machine)

        assert json.dumps(json.loads(text), separators=(",", ":")) == text
        assert product.definition(machine)["TimeoutSeconds"] > 0


def test_functions_know_the_time_out_of_their_machine(product):
    """The lease is computed from it: a lease that ends earlier lets two runs change one target."""
    for entry in product.entries:
        (machine,) = [
            m
            for m in product.of_type("AWS::StepFunctions::StateMachine").values()
            if m["StateMachineName"] == f"remediation-{entry.runbook.kebab}"
        ]
        module = f"lambdas.runbooks.{entry.runbook.name}."
        told = {
            f["Environment"]["Variables"]["MACHINE_TIMEOUT_SECONDS"]
            for f in product.of_type("AWS::Lambda::Function").values()
            if f["Handler"].startswith(module)
        }

        assert told == {str(product.definition(machine)["TimeoutSeconds"])}


def test_a_task_outlasts_the_function_it_calls(product):
    """Otherwise the machine goes on while the function still changes something."""
    timeouts = {k: f["Timeout"] for k, f in product.of_type("AWS::Lambda::Function").items()}
    for machine in product.of_type("AWS::StepFunctions::StateMachine").values():
        for name, state in product.definition(machine)["States"].items():
            function = state.get("Arguments", {}).get("FunctionName")
            if function:
                called = function.strip("<>").partition(".")[0]
                assert state["TimeoutSeconds"] > timeouts[called], name


def test_logs_are_kept_for_months_and_then_deleted(product):
    groups = product.of_type("AWS::Logs::LogGroup")

    assert len(groups) == len(product.of_type("AWS::Lambda::Function")) + len(
        product.of_type("AWS::StepFunctions::StateMachine")
    )
    assert {g["RetentionInDays"] for g in groups.values()} <= {DAYS_90, DAYS_365}


def test_each_function_has_a_log_group_and_a_role_of_its_own(product):
    functions = product.of_type("AWS::Lambda::Function").values()

    for named in (
        [logical_id(f["LoggingConfig"]["LogGroup"]) for f in functions],
        [logical_id(f["Role"]) for f in functions],
    ):
        assert len(set(named)) == len(functions)


def test_every_function_comes_from_one_zip(product):
    code = {json.dumps(f["Code"]) for f in product.of_type("AWS::Lambda::Function").values()}

    assert len(code) == 1


def test_only_its_machine_may_invoke_a_changing_function(product):
    changing = {
        k
        for k, f in product.of_type("AWS::Lambda::Function").items()
        if f["Handler"].endswith(".change")
    }
    assert len(changing) == len(product.entries)
    permissions = product.of_type("AWS::Lambda::Permission").values()
    assert not changing & {logical_id(p["FunctionName"]) for p in permissions}
    for function in changing:
        machine_roles = {
            logical_id(m["RoleArn"])
            for m in product.of_type("AWS::StepFunctions::StateMachine").values()
            if f"<{function}.Arn>" in json.dumps(product.definition(m))
        }
        invokers = {
            role
            for role in product.of_type("AWS::IAM::Role")
            for action, resource in product.allowed(role)
            if action == "lambda:InvokeFunction" and function in resource
        }
        assert len(machine_roles) == 1
        assert invokers == machine_roles
    for policy in product.of_type("AWS::IAM::ManagedPolicy").values():
        assert "lambda:" not in json.dumps(policy["PolicyDocument"])


# --- rotation ---


def rotation(product):
    """Logical ids of the rotation function and of its role."""
    ((function, properties),) = [
        (k, f)
        for k, f in product.of_type("AWS::Lambda::Function").items()
        if k.startswith(NAMED_FUNCTION)
    ]
    return function, logical_id(properties["Role"])


def test_only_secrets_manager_invokes_the_rotation_function_and_for_these_secrets_only(product):
    function, _ = rotation(product)
    (permission,) = [
        p
        for p in product.of_type("AWS::Lambda::Permission").values()
        if logical_id(p["FunctionName"]) == function
    ]

    assert permission["Principal"] == "secretsmanager.amazonaws.com"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert flat(permission["SourceArn"]).endswith(":secret:energy-insights/api-key-??????")


def test_the_rotation_function_reaches_only_secrets_that_it_rotates(product):
    _, role = rotation(product)
    statements = [
        s
        for s in product.statements(role)
        if not any(a.startswith("logs:") for a in as_list(s["Action"]))
    ]
    (on_secrets,) = [s for s in statements if "Condition" in s]
    (anywhere,) = [s for s in statements if "Condition" not in s]
    (arn,) = on_secrets["Condition"]["StringEquals"].values()

    assert as_list(on_secrets["Action"]) == [
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ]
    assert flat(on_secrets["Resource"]).endswith(":secret:energy-insights/api-key-??????")
    assert list(on_secrets["Condition"]["StringEquals"]) == [
        "secretsmanager:resource/AllowRotationLambdaArn"
    ]
    assert flat(arn).endswith(":function:remediation-rotation")
    assert (anywhere["Action"], anywhere["Resource"]) == ("secretsmanager:GetRandomPassword", "*")


def test_no_runbook_reads_the_value_of_a_key(product):
    """The one that updates variables reads secrets of its own."""
    readers = {
        role
        for role in product.of_type("AWS::IAM::Role")
        for action, resource in product.allowed(role)
        if action == "secretsmanager:GetSecretValue" and "energy-insights/api-key" in resource
    }

    assert readers == {rotation(product)[1]}


def test_who_starts_a_rotation_may_invoke_its_function(product):
    function, _ = rotation(product)
    invokers = {
        role
        for role in product.of_type("AWS::IAM::Role")
        for action, resource in product.allowed(role)
        if action == "lambda:InvokeFunction" and function in resource
    }

    (invoker,) = invokers
    assert invoker.startswith("RotateApiKeyChangeRole")


def test_the_users_of_an_iam_issuer_and_nobody_else(tmp_path):
    platform = json.loads((ROOT / "platform.json").read_text())
    platform["secrets"][0] |= {
        "issuer": "iam",
        "user_name": "bedrock-caller",
        "service_name": "bedrock.amazonaws.com",
    }
    (tmp_path / "platform.json").write_text(json.dumps(platform))
    issuing = synthesise(tmp_path / "cdk.out", platform=tmp_path / "platform.json")
    _, role = rotation(issuing)
    allowed = {(a, r) for a, r in issuing.allowed(role) if a.startswith("iam:")}

    assert {a for a, _ in allowed} == {
        "iam:CreateServiceSpecificCredential",
        "iam:DeleteServiceSpecificCredential",
        "iam:ListServiceSpecificCredentials",
    }
    assert all(r.endswith(":user/bedrock-caller") for _, r in allowed)


# --- people ---


def test_operators_start_runbooks_and_cannot_approve(product):
    policy = product.one("AWS::IAM::ManagedPolicy", "OversightOperatorPolicy")
    started = {
        logical_id(resource)
        for s in policy["PolicyDocument"]["Statement"]
        if "states:StartExecution" in as_list(s["Action"])
        for resource in as_list(s["Resource"])
    }
    machines = product.of_type("AWS::StepFunctions::StateMachine")

    assert policy["ManagedPolicyName"] == "remediation-operator"
    assert {machines[m]["StateMachineName"] for m in started} == {
        f"remediation-{entry.runbook.kebab}" for entry in product.entries
    }


def test_operators_read_records_and_set_nothing_but_their_own_items(product):
    policy = product.one("AWS::IAM::ManagedPolicy", "OversightOperatorPolicy")
    keys = {
        tuple(sorted(as_list(s["Action"]))): s["Condition"]["ForAllValues:StringLike"][
            "dynamodb:LeadingKeys"
        ]
        for s in policy["PolicyDocument"]["Statement"]
        if any(a.startswith("dynamodb:") for a in as_list(s["Action"]))
    }

    assert keys == {
        ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"): [
            "SWITCH",
            "WINDOW#*",
            "QUARANTINE#*",
            "BREAKER#*",
        ],
        ("dynamodb:GetItem",): ["RUN#*"],
    }


def test_approvers_start_nothing_but_the_approval(product):
    policy = product.one("AWS::IAM::ManagedPolicy", "OversightApproverPolicy")
    started = {
        logical_id(resource)
        for s in policy["PolicyDocument"]["Statement"]
        if "states:StartExecution" in as_list(s["Action"])
        for resource in as_list(s["Resource"])
    }
    machines = product.of_type("AWS::StepFunctions::StateMachine")

    assert policy["ManagedPolicyName"] == "remediation-approver"
    assert [machines[m]["StateMachineName"] for m in started] == ["remediation-approve"]


def test_operators_cannot_write_locks_or_records(product):
    policy = product.one("AWS::IAM::ManagedPolicy", "OversightOperatorPolicy")
    (items,) = [
        s for s in policy["PolicyDocument"]["Statement"] if "dynamodb:PutItem" in s["Action"]
    ]

    assert items["Condition"] == {
        "ForAllValues:StringLike": {
            "dynamodb:LeadingKeys": ["SWITCH", "WINDOW#*", "QUARANTINE#*", "BREAKER#*"]
        },
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


# --- the whole ---


def test_nothing_has_a_name_but_what_people_type(product):
    unknown = {r["Type"] for r in product.resources.values()} - set(NAMING) - WITHOUT_OWN_NAME
    assert unknown == set()
    for key, resource in product.resources.items():
        kind = resource["Type"]
        name = resource["Properties"].get(NAMING.get(kind, ""))
        if kind == "AWS::IAM::ManagedPolicy" and "OverflowPolicy" in key:
            assert name is None, key
        elif kind in PEOPLE_TYPE:
            assert name == "remediation" or name.startswith("remediation-"), key
        elif kind == "AWS::Logs::LogGroup" and key.startswith(NAMED_FUNCTION):
            assert name == "/aws/lambda/remediation-rotation"
        elif kind == "AWS::Logs::LogGroup" and name is not None:
            # This prefix keeps the group out of the account's resource policy for deliveries.
            assert name.startswith("/aws/vendedlogs/states/remediation-"), key
        elif kind == "AWS::Lambda::Function" and key.startswith(NAMED_FUNCTION):
            assert name == "remediation-rotation"
        else:
            assert name is None, key


def test_outputs_are_these_and_none_is_exported(product):
    outputs = product.template["Outputs"]

    assert set(outputs) == {"OperatorTopicArn", "ChatTopicArn", "RunTableName"}
    assert not any("Export" in output for output in outputs.values())


def test_the_template_is_far_from_its_limits(product, capsys):
    for file in product.outdir.glob("*.template.json"):
        size = file.stat().st_size
        count = len(json.loads(file.read_text())["Resources"])

        with capsys.disabled():
            print(f"\n{file.name[:24]}: {count} resources, template {size / 1000:.0f} KB")
        assert size < MAX_TEMPLATE_BYTES
        assert count < MAX_RESOURCES


def test_a_second_synthesis_gives_the_same_template(product, tmp_path):
    assert synthesise(tmp_path / "again").template == product.template


def test_a_platform_without_tables_still_synthesises(tmp_path):
    platform = json.loads((ROOT / "platform.json").read_text())
    platform["tables"] = []
    (tmp_path / "platform.json").write_text(json.dumps(platform))

    empty = synthesise(tmp_path / "cdk.out", platform=tmp_path / "platform.json")

    assert not [name for name in empty.alarms() if name.endswith("-throttled")]


def test_a_platform_without_secrets_has_no_rotation_function(tmp_path):
    platform = json.loads((ROOT / "platform.json").read_text())
    platform["secrets"] = []
    (tmp_path / "platform.json").write_text(json.dumps(platform))

    without = synthesise(tmp_path / "cdk.out", platform=tmp_path / "platform.json")

    functions = without.of_type("AWS::Lambda::Function")
    assert not [k for k in functions if k.startswith(NAMED_FUNCTION)]
    assert len(functions) == 2 * len(without.entries) + 2
