"""All that the program refuses, and all that it warns of: one module per subject, one constant per message.

The documentation's page "What it refuses, what it warns of" is made from these tables, and a test demands a
case for every refusal.
"""
