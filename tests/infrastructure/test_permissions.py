"""Roles: what each may do is derived from what it is for, and compared in both directions."""

import json
import re

import aws_cdk as cdk
import pytest

from lambdas.remediation.platform import (
    Bucket,
    CloudFormationStack,
    Dashboard,
    Function,
    IamRole,
    Platform,
    Secret,
    Table,
    UserPool,
)
from lambdas.remediation.step import Role
from stacks.permissions import WITHOUT_RESOURCE, UnknownCallError, statements
from stacks.runbook import declared_calls
from tests.infrastructure.synthesis import (
    as_list,
    every_state,
    flat,
    logical_id,
)

ACCOUNT = "<AWS::Region>:<AWS::AccountId>"
ARN = "arn:<AWS::Partition>"
PLATFORM = Platform(
    name="test",
    tables=(
        Table(table_name="Orders", indexes=("by-day",), export_bucket="exported"),
        Table(table_name="Carts"),
    ),
)


def resources_of(statement):
    return [flat(cdk.Stack(cdk.App()).resolve(r)) for r in statement.resources]


# --- statements from calls ---


def test_a_table_call_is_allowed_on_the_configured_tables_and_indexes_only():
    (statement,) = statements(["dynamodb:UpdateTable"], PLATFORM)

    assert statement.actions == ("dynamodb:UpdateTable",)
    assert resources_of(statement) == [
        f"{ARN}:dynamodb:{ACCOUNT}:table/Orders",
        f"{ARN}:dynamodb:{ACCOUNT}:table/Carts",
        f"{ARN}:dynamodb:{ACCOUNT}:table/Orders/index/by-day",
    ]


def test_calls_on_the_same_resources_share_a_statement():
    (statement,) = statements(["dynamodb:UpdateTable", "dynamodb:DescribeTable"], PLATFORM)

    assert statement.actions == ("dynamodb:DescribeTable", "dynamodb:UpdateTable")


def test_credentials_are_those_of_the_issuing_users_only():
    secrets = (
        Secret(secret_id="random"),
        Secret(secret_id="issued", issuer="iam", user_name="caller", service_name="bedrock.aws"),
    )
    platform = Platform(name="test", secrets=secrets)

    (statement,) = statements(["iam:ListServiceSpecificCredentials"], platform)

    assert resources_of(statement) == [f"{ARN}:iam::<AWS::AccountId>:user/caller"]
    assert statements(["iam:ListServiceSpecificCredentials"], PLATFORM) == []


def test_a_call_named_twice_is_allowed_once():
    (statement,) = statements(["dynamodb:DescribeTable"] * 2, PLATFORM)

    assert statement.actions == ("dynamodb:DescribeTable",)


def test_calls_without_resource_types_say_so():
    (statement,) = statements(WITHOUT_RESOURCE, PLATFORM)

    assert set(statement.actions) == set(WITHOUT_RESOURCE)
    assert statement.resources == ("*",)
    assert statement.reason


def test_a_scalable_target_is_narrowed_to_dynamodb():
    (statement,) = statements(["application-autoscaling:RegisterScalableTarget"], PLATFORM)

    assert resources_of(statement) == [f"{ARN}:application-autoscaling:{ACCOUNT}:scalable-target/*"]
    assert statement.conditions == {
        "StringEquals": {"application-autoscaling:service-namespace": "dynamodb"}
    }


def test_insight_rules_are_those_of_the_configured_tables():
    (statement,) = statements(["cloudwatch:GetInsightRuleReport"], PLATFORM)

    assert resources_of(statement) == [
        f"{ARN}:cloudwatch:{ACCOUNT}:insight-rule/DynamoDBContributorInsights-*-Orders*",
        f"{ARN}:cloudwatch:{ACCOUNT}:insight-rule/DynamoDBContributorInsights-*-Carts*",
    ]


def test_a_call_on_users_is_allowed_on_the_configured_user_pools_only():
    platform = Platform(name="test", user_pools=(UserPool(user_pool_id="us-east-1_Pool"),))

    (statement,) = statements(["cognito-idp:AdminDisableUser"], platform)

    assert resources_of(statement) == [f"{ARN}:cognito-idp:{ACCOUNT}:userpool/us-east-1_Pool"]


def test_a_dashboard_call_is_allowed_on_the_configured_dashboards_which_have_no_region():
    platform = Platform(name="test", dashboards=(Dashboard(dashboard_name="Orders"),))
    (statement,) = statements(
        ["cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:PutDashboard"],
        platform,
    )

    assert resources_of(statement) == [f"{ARN}:cloudwatch::<AWS::AccountId>:dashboard/Orders"]


def test_policies_are_replaced_on_the_configured_roles_only():
    platform = Platform(name="test", roles=(IamRole(role_name="chat"),))

    (statement,) = statements(["iam:PutRolePolicy"], platform)

    assert resources_of(statement) == [f"{ARN}:iam::<AWS::AccountId>:role/chat"]


def test_managed_policies_are_read_and_never_written():
    platform = Platform(name="test", roles=(IamRole(role_name="chat"),))

    (statement,) = statements(["iam:GetPolicy", "iam:GetPolicyVersion"], platform)

    assert resources_of(statement) == [f"{ARN}:iam::<AWS::AccountId>:policy/*"]
    assert statement.reason
    assert statements(["iam:GetPolicy"], PLATFORM) == []


def test_the_stack_of_a_role_may_be_any():
    (statement,) = statements(["cloudformation:DescribeStackResources"], PLATFORM)

    assert statement.resources == ("*",)
    assert statement.reason


@pytest.mark.parametrize("action", ["GetObject", "PutObject", "DeleteObject"])
def test_objects_of_exports_are_those_below_their_table(action):
    (statement,) = statements([f"s3:{action}@exports"], PLATFORM)

    assert statement.actions == (f"s3:{action}",)
    assert resources_of(statement) == [f"{ARN}:s3:::exported/exports/Orders/*"]


def test_an_export_bucket_is_listed_below_its_exports_only():
    (statement,) = statements(["s3:ListBucket@exports"], PLATFORM)

    assert resources_of(statement) == [f"{ARN}:s3:::exported"]
    assert statement.conditions == {"StringLike": {"s3:prefix": ["exports/*"]}}


def test_settings_of_an_export_bucket_are_read_on_the_bucket():
    (statement,) = statements(["s3:GetEncryptionConfiguration@exports"], PLATFORM)

    assert (resources_of(statement), statement.conditions) == ([f"{ARN}:s3:::exported"], {})


def test_keys_are_used_through_s3_for_exports_only():
    (statement,) = statements(["kms:GenerateDataKey@exports"], PLATFORM)

    conditions = cdk.Stack(cdk.App()).resolve(statement.conditions)
    context = conditions["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
    assert resources_of(statement) == [f"{ARN}:kms:{ACCOUNT}:key/*"]
    assert flat(conditions["StringEquals"]["kms:ViaService"]) == "s3.<AWS::Region>.amazonaws.com"
    assert [flat(arn) for arn in context] == [
        f"{ARN}:s3:::exported",
        f"{ARN}:s3:::exported/exports/Orders/*",
    ]


def test_the_role_of_contributor_insights_is_the_only_one_that_may_be_made():
    (statement,) = statements(["iam:CreateServiceLinkedRole@contributor-insights"], PLATFORM)

    service = "contributorinsights.dynamodb.amazonaws.com"
    assert resources_of(statement) == [
        f"{ARN}:iam::<AWS::AccountId>:role/aws-service-role/{service}/"
        "AWSServiceRoleForDynamoDBCloudWatchContributorInsights"
    ]
    assert statement.conditions == {"StringEquals": {"iam:AWSServiceName": service}}


def test_exports_are_those_of_the_configured_tables():
    (statement,) = statements(["dynamodb:DescribeExport"], PLATFORM)

    assert resources_of(statement) == [
        f"{ARN}:dynamodb:{ACCOUNT}:table/Orders/export/*",
        f"{ARN}:dynamodb:{ACCOUNT}:table/Carts/export/*",
    ]


def test_without_an_export_bucket_no_key_is_allowed():
    platform = Platform(name="test", tables=(Table(table_name="Carts"),))

    assert statements(["kms:Decrypt@exports", "s3:GetObject@exports"], platform) == []


def test_a_restore_reads_backup_or_original_and_writes_a_restored_table_only():
    from_backup, to_moment = (
        resources_of(statements([f"dynamodb:{action}"], PLATFORM)[0])
        for action in ("RestoreTableFromBackup", "RestoreTableToPointInTime")
    )
    (deletion,) = statements(["dynamodb:DeleteTable@restored"], PLATFORM)
    table = f"{ARN}:dynamodb:{ACCOUNT}:table"
    restored = [f"{table}/Orders-restored-*", f"{table}/Carts-restored-*"]

    assert from_backup == [f"{table}/Orders/backup/*", f"{table}/Carts/backup/*", *restored]
    assert to_moment == [f"{table}/Orders", f"{table}/Carts", *restored]
    assert (deletion.actions, resources_of(deletion)) == (("dynamodb:DeleteTable",), restored)


def test_scaling_alarms_are_those_of_restored_tables():
    (statement,) = statements(["cloudwatch:PutMetricAlarm@scaling"], PLATFORM)

    assert resources_of(statement) == [
        f"{ARN}:cloudwatch:{ACCOUNT}:alarm:TargetTracking-table/Orders-restored-*",
        f"{ARN}:cloudwatch:{ACCOUNT}:alarm:TargetTracking-table/Carts-restored-*",
    ]


def test_pointers_are_the_parameters_of_the_tables_that_have_one():
    tables = (
        Table(table_name="Orders", pointer_parameter="/shop/orders-table"),
        Table(table_name="Carts", pointer_parameter="carts-table"),
        Table(table_name="Logs"),
    )
    (statement,) = statements(["ssm:PutParameter@pointers"], Platform(name="t", tables=tables))

    assert resources_of(statement) == [
        f"{ARN}:ssm:{ACCOUNT}:parameter/shop/orders-table",
        f"{ARN}:ssm:{ACCOUNT}:parameter/carts-table",
    ]


def test_keys_are_listed_under_the_prefixes_that_may_expire_only():
    buckets = (
        Bucket(bucket_name="artifacts", prefixes=("renders/", "drafts/")),
        Bucket(bucket_name="templates"),
    )
    (statement,) = statements(
        ["s3:ListBucket@prefixes", "s3:ListBucketVersions@prefixes"],
        Platform(name="test", buckets=buckets),
    )

    assert statement.actions == ("s3:ListBucket", "s3:ListBucketVersions")
    assert resources_of(statement) == [f"{ARN}:s3:::artifacts"]
    assert statement.conditions == {"StringEquals": {"s3:prefix": ["drafts/", "renders/"]}}


CHAT = Function(
    function_name="chat",
    alias="live",
    smoke_event={"path": "/health"},
    code_bucket="packages",
    variables_secret_id="chat/variables",
)
FUNCTIONS = Platform(name="test", functions=(CHAT, Function(function_name="other", alias="live")))


def test_a_version_may_be_invoked_before_it_serves_where_there_is_an_event_for_it():
    (statement,) = statements(["lambda:InvokeFunction@versions"], FUNCTIONS)

    assert statement.actions == ("lambda:InvokeFunction",)
    assert resources_of(statement) == [f"{ARN}:lambda:{ACCOUNT}:function:chat:*"]


def test_packages_are_those_of_the_configured_buckets():
    (statement,) = statements(["s3:GetObjectVersion@code"], FUNCTIONS)

    assert statement.actions == ("s3:GetObjectVersion",)
    assert resources_of(statement) == [f"{ARN}:s3:::packages/*"]


def test_values_of_variables_come_from_the_configured_secrets_only():
    (statement,) = statements(["secretsmanager:GetSecretValue@variables"], FUNCTIONS)

    assert statement.actions == ("secretsmanager:GetSecretValue",)
    assert resources_of(statement) == [
        f"{ARN}:secretsmanager:{ACCOUNT}:secret:chat/variables-??????"
    ]


STACKS = Platform(
    name="test",
    stacks=(
        CloudFormationStack(stack_name="App", template_bucket="templates", execution_role="exec"),
        CloudFormationStack(stack_name="Net"),
    ),
)


def test_a_stack_is_allowed_under_its_name_whatever_its_id():
    (statement,) = statements(["cloudformation:ExecuteChangeSet"], STACKS)

    assert resources_of(statement) == [
        f"{ARN}:cloudformation:{ACCOUNT}:stack/App/*",
        f"{ARN}:cloudformation:{ACCOUNT}:stack/Net/*",
    ]


def test_releases_are_kept_under_the_name_of_their_stack_only():
    objects, bucket = statements(
        ["s3:GetObject@releases", "s3:PutObject@releases", "s3:ListBucket@releases"], STACKS
    )

    assert objects.actions == ("s3:GetObject", "s3:PutObject")
    assert resources_of(objects) == [f"{ARN}:s3:::templates/remediation/App/*"]
    assert bucket.actions == ("s3:ListBucket",)
    assert resources_of(bucket) == [f"{ARN}:s3:::templates"]


def test_templates_are_read_under_the_name_of_their_stack_only():
    (statement,) = statements(["s3:GetObject@templates"], STACKS)

    assert statement.actions == ("s3:GetObject",)
    assert resources_of(statement) == [f"{ARN}:s3:::templates/templates/App/*"]


def test_a_stacks_role_may_be_passed_to_cloudformation_only():
    (statement,) = statements(["iam:PassRole@cloudformation"], STACKS)

    assert statement.actions == ("iam:PassRole",)
    assert resources_of(statement) == [f"{ARN}:iam::<AWS::AccountId>:role/exec"]
    assert statement.conditions == {
        "StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}
    }


def test_a_platform_without_tables_allows_nothing_on_tables():
    assert statements(["dynamodb:UpdateTable"], Platform(name="empty")) == []


def test_a_call_without_a_rule_stops_the_synth():
    with pytest.raises(UnknownCallError) as error:
        statements(["dynamodb:DescribeTable", "ec2:TerminateInstances"], PLATFORM)

    assert str(error.value) == (
        "ec2:TerminateInstances: add its resources to stacks/permissions.py"
    )


# --- functions of a runbook: what their steps declare, and the life of a run ---

RUN_TABLE, OPERATORS, CHAT, KEY, ROTATION = (
    "<CoreRunTable",
    "<CoreOperators",
    "<CoreChat",
    "<CoreKey",
    "<RotationRotateFunction",
)
OURS = (RUN_TABLE, OPERATORS, CHAT, KEY, ROTATION)
LIFE = {
    Role.OBSERVE: {
        ("dynamodb:GetItem", RUN_TABLE),
        ("dynamodb:PutItem", RUN_TABLE),
        ("dynamodb:UpdateItem", RUN_TABLE),
        ("dynamodb:DeleteItem", RUN_TABLE),
        ("dynamodb:ConditionCheckItem", RUN_TABLE),
        ("sns:Publish", OPERATORS),
        ("sns:Publish", CHAT),
        ("kms:Decrypt", KEY),
        ("kms:GenerateDataKey*", KEY),
    },
    Role.CHANGE: {("dynamodb:GetItem", RUN_TABLE), ("dynamodb:UpdateItem", RUN_TABLE)},
}


def function_of(product, runbook, role):
    handler = f"lambdas.runbooks.{runbook}.handler.{role.value}"
    (found,) = [
        (key, properties)
        for key, properties in product.of_type("AWS::Lambda::Function").items()
        if properties["Handler"] == handler
    ]
    return found


def short(resource):
    """`<CoreKey543B1A30.Arn>` as `<CoreKey`: logical ids end in a hash."""
    found = [name for name in OURS if resource.startswith(name)]
    return found[0] if found else resource


def test_a_function_may_do_what_its_steps_declare_and_the_life_of_a_run_needs(product):
    for entry in product.entries:
        for role in Role:
            _, function = function_of(product, entry.runbook.name, role)
            log_group = flat(function["LoggingConfig"]["LogGroup"]).strip("<>")
            allowed = {
                (action, short(resource))
                for action, resource in product.allowed(logical_id(function["Role"]))
            }
            logs = {
                (action, f"<{log_group}.Arn>")
                for action in ("logs:CreateLogStream", "logs:PutLogEvents")
            }
            declared = {
                (action, resource)
                for s in statements(declared_calls(entry, role), product.config.platform)
                for action in s.actions
                for resource in resources_of(s)
            }
            alarms = {
                ("cloudwatch:SetAlarmState", f"{ARN}:cloudwatch:{ACCOUNT}:alarm:{alarm.name}")
                for alarm in entry.runbook.alarms(product.config.platform, "remediation")
                if role is Role.OBSERVE and not alarm.composite
            }

            polls = role is Role.OBSERVE and entry.runbook.keeps_ledger
            poll = {("cloudwatch:DescribeAlarms", "*")} if polls else set()
            heeds = role is Role.OBSERVE and entry.runbook.heeds_runs
            runs = {("dynamodb:Query", RUN_TABLE)} if heeds else set()

            # Secrets Manager asks for it, and does not invoke as them: no step makes this call.
            starts = role is Role.CHANGE and entry.runbook.name == "rotate_api_key"
            rotation = {("lambda:InvokeFunction", ROTATION)} if starts else set()

            own = logs | alarms | poll | rotation | runs
            assert allowed == declared | LIFE[role] | own


def test_the_changing_function_of_dynamodb_throttling_may_do_this(product):
    """Written out once, so that a wrong rule cannot confirm itself."""
    _, function = function_of(product, "dynamodb_throttling", Role.CHANGE)
    on_platform = {
        (action, resource)
        for action, resource in product.allowed(logical_id(function["Role"]))
        if resource == "*" or resource.startswith("arn:")
    }

    parts = ("ChatMessage-prod", "ChatMessage-prod/index/chatSessionId-index", "ChatSession-prod")
    assert on_platform == {
        ("application-autoscaling:DescribeScalableTargets", "*"),
        (
            "application-autoscaling:RegisterScalableTarget",
            f"{ARN}:application-autoscaling:{ACCOUNT}:scalable-target/*",
        ),
        *(
            (action, f"{ARN}:dynamodb:{ACCOUNT}:table/{part}")
            for action in ("dynamodb:DescribeTable", "dynamodb:UpdateTable")
            for part in parts
        ),
    }


READING = ("Describe", "Get", "GET", "List", "Query", "BatchGet", "Filter", "Lookup", "Scan")
READING_BY_ANOTHER_NAME = {
    # Those of Cognito that change start with Admin too.
    "cognito-idp:AdminGetUser": "reads a user",
    "cognito-idp:AdminListGroupsForUser": "reads the groups of a user",
    # Through the alias only (platform.schema.json, smoke_event).
    "lambda:InvokeFunction": "with an event that changes nothing",
    "access-analyzer:CheckNoNewAccess": "compares the two policies in the call",
    "access-analyzer:ValidatePolicy": "judges the policy in the call",
    "iam:GenerateServiceLastAccessedDetails": "makes a report for its caller",
    "iam:SimulateCustomPolicy": "tries the policy in the call on nothing",
    "kms:Decrypt": "reads what is encrypted",
}


def test_the_reading_function_can_change_nothing_of_the_platform(product):
    for entry in product.entries:
        _, function = function_of(product, entry.runbook.name, Role.OBSERVE)
        own_alarms = "cloudwatch:SetAlarmState"
        changing = {
            action
            for action, resource in product.allowed(logical_id(function["Role"]))
            if (resource == "*" or resource.startswith("arn:"))
            and action != own_alarms
            and not action.partition(":")[2].startswith(READING)
            and action not in READING_BY_ANOTHER_NAME
        }

        assert changing == set()


# --- state machines: exactly what the definition names ---

LOGS_AND_TRACES = {
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


# The rule by which Step Functions learns that a child has ended.
SYNC_RULE = f"{ARN}:events:{ACCOUNT}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"


def subject(resource):
    """Logical id that a resource of a statement is about; its text, if it is not of this stack."""
    found = re.search(r"<([A-Za-z0-9]+)[.>]", resource)
    return found[1] if found else resource


def following(child):
    """What it takes to start a machine, to learn of its end, and to stop it."""
    executions = f"{ARN}:states:{ACCOUNT}:execution:remediation-{child}:*"
    return {
        ("states:StartExecution", f"{ARN}:states:{ACCOUNT}:stateMachine:remediation-{child}"),
        ("states:DescribeExecution", executions),
        ("states:StopExecution", executions),
        ("events:DescribeRule", SYNC_RULE),
        ("events:PutRule", SYNC_RULE),
        ("events:PutTargets", SYNC_RULE),
    }


def needs(state, product, children):
    """Pairs of action and logical id that a Task's integration needs from the machine's role."""
    resource = state["Resource"].removeprefix("arn:aws:states:::").removeprefix("aws-sdk:")
    service, call = resource.removesuffix(".waitForTaskToken").split(":")[:2]
    arguments = state["Arguments"]
    if (service, call) == ("lambda", "invoke"):
        return {("lambda:InvokeFunction", logical_id(arguments["FunctionName"]))}
    if (service, call) == ("sns", "publish"):
        topic = logical_id(arguments["TopicArn"])
        key = logical_id(product.resources[topic]["Properties"]["KmsMasterKeyId"])
        return {
            ("sns:Publish", topic),
            ("kms:Decrypt", key),
            ("kms:GenerateDataKey*", key),
        }
    if service == "dynamodb":
        table = logical_id(arguments["TableName"])
        return {(f"dynamodb:{call[0].upper()}{call[1:]}", table)}
    if (service, call) == ("states", "startExecution.sync"):
        return set().union(*(following(child) for child in children))
    raise AssertionError(f"{state['Resource']}: say here what it needs")


def test_a_machine_may_do_exactly_what_its_definition_names(product):
    machines = product.of_type("AWS::StepFunctions::StateMachine")
    children = {
        f"remediation-{entry.runbook.kebab}": [
            child.replace("_", "-") for child in entry.runbook.children
        ]
        for entry in product.entries
    }
    for machine in machines.values():
        asl = product.definition(machine)
        wanted = set()
        for _, state in every_state(asl):
            if state["Type"] == "Task":
                wanted |= needs(state, product, children.get(machine["StateMachineName"], []))
        allowed = product.allowed(logical_id(machine["RoleArn"]))
        granted = {(action, subject(resource)) for action, resource in allowed if resource != "*"}

        assert granted == wanted, machine["StateMachineName"]
        assert {a for a, resource in allowed if resource == "*"} == LOGS_AND_TRACES


def test_no_machine_names_a_version_or_anything_outside_of_the_stack(product):
    for machine in product.of_type("AWS::StepFunctions::StateMachine").values():
        for token, value in machine["DefinitionSubstitutions"].items():
            if token.endswith("Arn"):
                assert logical_id(value) in product.resources, token


def test_each_machine_has_a_role_that_only_step_functions_assumes(product):
    machines = product.of_type("AWS::StepFunctions::StateMachine").values()
    roles = [logical_id(m["RoleArn"]) for m in machines]

    assert len(set(roles)) == len(roles)
    for role in roles:
        assert trusted_by(product, role) == "states.amazonaws.com"


def trusted_by(product, role):
    (statement,) = product.resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    return statement["Principal"]["Service"]


# --- rules: exactly their targets ---


def rule_targets(product):
    return [
        (key, target)
        for key, rule in product.of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
    ]


def test_a_rule_that_starts_a_machine_may_start_exactly_that_one(product):
    machines = product.of_type("AWS::StepFunctions::StateMachine")
    started = {}
    for _, target in rule_targets(product):
        arn = logical_id(target["Arn"])
        if arn in machines:
            started.setdefault(logical_id(target["RoleArn"]), set()).add(arn)

    assert started
    for role, targets in started.items():
        assert trusted_by(product, role) == "events.amazonaws.com"
        assert product.allowed(role) == {("states:StartExecution", f"<{m}>") for m in targets}


def test_no_other_role_is_open_to_eventbridge(product):
    used = {logical_id(t["RoleArn"]) for _, t in rule_targets(product) if "RoleArn" in t}
    open_to_rules = {
        role
        for role in product.of_type("AWS::IAM::Role")
        if trusted_by(product, role) == "events.amazonaws.com"
    }

    assert open_to_rules == used


def test_rules_invoke_exactly_the_functions_they_target(product):
    functions = product.of_type("AWS::Lambda::Function")
    wanted = {
        (key, logical_id(target["Arn"]))
        for key, target in rule_targets(product)
        if logical_id(target["Arn"]) in functions
    }
    permissions = [
        p
        for p in product.of_type("AWS::Lambda::Permission").values()
        # Of the rotation function: test_template.py.
        if p["Principal"] != "secretsmanager.amazonaws.com"
    ]
    permitted = {(logical_id(p["SourceArn"]), logical_id(p["FunctionName"])) for p in permissions}

    assert wanted
    assert permitted == wanted
    for permission in permissions:
        assert permission["Principal"] == "events.amazonaws.com"
        assert permission["Action"] == "lambda:InvokeFunction"


# --- oversight ---


def oversight(product, handler):
    (function,) = [
        f
        for f in product.of_type("AWS::Lambda::Function").values()
        if f["Handler"] == f"lambdas.oversight.{handler}.handler"
    ]
    return {
        (action, short(resource))
        for action, resource in product.allowed(logical_id(function["Role"]))
        if not action.startswith("logs:")
    }


def test_the_approval_may_only_record_and_wake(product):
    assert oversight(product, "approve") == {
        ("dynamodb:GetItem", RUN_TABLE),
        ("dynamodb:UpdateItem", RUN_TABLE),
        ("states:SendTaskSuccess", "*"),
    }


def test_the_sweep_may_start_runbooks_close_runs_and_tell_people(product):
    machines = {
        key: m["StateMachineName"]
        for key, m in product.of_type("AWS::StepFunctions::StateMachine").items()
    }
    runbooks = [key for key, name in machines.items() if name != "remediation-approve"]
    functions = [
        function_of(product, entry.runbook.name, Role.OBSERVE)[0] for entry in product.entries
    ]

    assert oversight(product, "sweep") == {
        ("dynamodb:GetItem", RUN_TABLE),
        ("dynamodb:UpdateItem", RUN_TABLE),
        ("dynamodb:Query", RUN_TABLE),
        ("sns:Publish", OPERATORS),
        ("sns:Publish", CHAT),
        ("kms:Decrypt", KEY),
        ("kms:GenerateDataKey*", KEY),
        *(("states:StartExecution", f"<{m}>") for m in runbooks),
        *(
            ("states:DescribeExecution", f"{ARN}:states:{ACCOUNT}:execution:<{m}.Name>:*")
            for m in runbooks
        ),
        *(("lambda:InvokeFunction", f"<{f}.Arn>") for f in functions),
        ("cloudwatch:DescribeAlarms", "*"),
    }


def test_listing_open_runs_is_allowed_on_their_index_only(product):
    queries = {
        resource
        for role in product.of_type("AWS::IAM::Role")
        for action, resource in product.allowed(role)
        if action == "dynamodb:Query"
    }

    # A restore writes the items with the rights of whoever asks for it.
    restored = {resource for resource in queries if resource.endswith("-restored-*")}
    (index,) = queries - restored
    assert index.endswith(".Arn>/index/open-runs")


# --- wildcards: each with its reason ---

ANY_RESOURCE = {
    **WITHOUT_RESOURCE,
    **dict.fromkeys(LOGS_AND_TRACES, "log deliveries and X-Ray have no resource types"),
    "cloudformation:DescribeStackResources": "the stack is the answer",
    "cloudwatch:DescribeAlarms": "asked for many alarms at once, composite ones too",
    "secretsmanager:GetRandomPassword": "has no resource types; it reads nothing of anybody",
    "states:SendTaskSuccess": "has no resource types; the task token is the key",
}
PARTLY_OPEN = {
    f"{ARN}:application-autoscaling:{ACCOUNT}:scalable-target/*": "the id is opaque",
    f"{ARN}:cloudwatch:{ACCOUNT}:insight-rule/DynamoDBContributorInsights-*-": (
        "the names hold a kind and a time that only DynamoDB knows"
    ),
    f"{ARN}:apigateway:<AWS::Region>::/restapis/e1n2s3i4g5/deployments/": "made-up ids",
    f"{ARN}:cloudformation:{ACCOUNT}:stack/EnergyInsightsStack/": "the ARN ends with an id",
    f"{ARN}:s3:::energy-insights-artifacts/remediation/EnergyInsightsStack/": (
        "a release is kept under its digest"
    ),
    f"{ARN}:lambda:{ACCOUNT}:function:chat-lambda:": "versions and aliases of one function",
    f"{ARN}:logs:{ACCOUNT}:log-group:/aws/lambda/chat-lambda:": "streams of one log group",
    "arn:<AWS::Partition>:s3:::energy-insights-artifacts/": "pipelines name their packages",
    f"{ARN}:dynamodb:{ACCOUNT}:table/ChatMessage-prod/backup/": "DynamoDB makes up the id",
    f"{ARN}:dynamodb:{ACCOUNT}:table/ChatSession-prod/backup/": "DynamoDB makes up the id",
    f"{ARN}:iam::<AWS::AccountId>:policy/": "which ones are attached is what is read",
    f"{ARN}:dynamodb:{ACCOUNT}:table/ChatMessage-prod/export/": "DynamoDB makes up the id",
    f"{ARN}:dynamodb:{ACCOUNT}:table/ChatSession-prod/export/": "DynamoDB makes up the id",
    f"{ARN}:kms:{ACCOUNT}:key/*": "the bucket's own key; conditions narrow what it is used for",
    f"{ARN}:s3:::energy-insights-exports/exports/ChatMessage-prod/": "objects of its exports",
    f"{ARN}:s3:::energy-insights-exports/exports/ChatSession-prod/": "objects of its exports",
    f"{ARN}:dynamodb:{ACCOUNT}:table/ChatMessage-prod-restored-": "ends with the run's digest",
    f"{ARN}:dynamodb:{ACCOUNT}:table/ChatSession-prod-restored-": "ends with the run's digest",
    f"{ARN}:cloudwatch:{ACCOUNT}:alarm:TargetTracking-table/": "Auto Scaling makes up the id",
    f"{ARN}:states:{ACCOUNT}:execution:remediation-": "its child: the machine is named",
    f"{ARN}:states:{ACCOUNT}:execution:<": "an execution's name is not known before it starts",
}
ANY_CALL = {"kms:GenerateDataKey*": "the data-key calls, on one key"}


def identity_statements(product):
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for key, policy in product.of_type(kind).items():
            for statement in policy["PolicyDocument"]["Statement"]:
                yield key, statement


def test_no_statement_is_open_without_a_reason(product):
    for key, statement in identity_statements(product):
        for resource in map(flat, as_list(statement["Resource"])):
            if resource == "*":
                assert set(as_list(statement["Action"])) <= set(ANY_RESOURCE), key
            elif "*" in resource:
                assert resource.startswith(tuple(PARTLY_OPEN)), (key, resource)


def test_every_exception_is_still_needed(product):
    open_actions, open_resources = set(), set()
    for _, statement in identity_statements(product):
        for resource in map(flat, as_list(statement["Resource"])):
            open_resources.add(resource)
            if resource == "*":
                open_actions.update(as_list(statement["Action"]))

    assert open_actions == set(ANY_RESOURCE)
    for start in PARTLY_OPEN:
        assert any(resource.startswith(start) for resource in open_resources), start


def test_actions_are_named_not_matched(product):
    matched = {
        action
        for _, statement in identity_statements(product)
        for action in as_list(statement["Action"])
        if "*" in action
    }

    assert matched == set(ANY_CALL)


def test_no_statement_excludes_instead_of_naming(product):
    for key, statement in identity_statements(product):
        assert statement["Effect"] == "Allow", key
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), key


def test_resource_policies_are_open_for_their_own_resource_only(product):
    """In a key's policy, `*` is the key itself."""
    for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"):
        for policy in product.of_type(kind).values():
            for statement in policy["PolicyDocument"]["Statement"]:
                assert flat(statement["Resource"]) != "*"
    (key,) = product.of_type("AWS::KMS::Key").values()
    for statement in key["KeyPolicy"]["Statement"]:
        assert "*" not in json.dumps(statement["Principal"])


def test_roles_carry_no_managed_or_inline_policy(product):
    for key, role in product.of_type("AWS::IAM::Role").items():
        assert not {"ManagedPolicyArns", "Policies"} & set(role), key
