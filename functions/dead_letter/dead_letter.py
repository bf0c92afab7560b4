"""What no worker could do: archived in S3, and said in its record."""

from afterward.dead_letters import DeadLetters

lambda_handler = DeadLetters()
