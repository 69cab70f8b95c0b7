"""CDK app of the sample platform; apart from the product's, so one never deploys the other."""

from __future__ import annotations

import aws_cdk as cdk

from local.sample_platform import names
from local.sample_platform.stack import EnergyInsightsStack

app = cdk.App(analytics_reporting=False)
EnergyInsightsStack(app, names.STACK)
app.synth()
