"""The embedded cloud: everything in template.yaml, on one machine.

`python -m local` serves the application; tests use `local.cloud.LocalCloud`, which is the same thing in a `with` block.

    template   what is to run, as AWS SAM expands it
    timeouts   the same with other timeouts, to see what a deadline does
    stack      its queues, tables, buckets and settings, created in moto and read back from it
    roles      what its functions may do, by their policies
    aws        moto, in a process of its own
    guard      lets functions do there what they may, and notes what they do
    function   a function: at most two execution environments, started on first use
    runtime    the Lambda Runtime API that those environments talk to
    gateway    HTTP requests become API Gateway events
    poller     SQS messages become Lambda events
    schedule   so do the ticks of rules and schedules
    mail       an SMTP server that keeps what it is given
    cloud      all of it together
    redrive    the operators' command, for the jobs of what runs here

Nothing here lists a queue, a table, a route or a function: what the template does not say is not there.
"""

import sys
from pathlib import Path

# The library, by which the screen masks personal data, is installed nowhere: functions have it from its layer.
sys.path.append(str(Path(__file__).parents[1] / "layers" / "afterward"))
