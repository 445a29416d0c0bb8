"""Running bound statements.

``row/`` turns a physical plan into one Python function; ``changes`` applies INSERT, UPDATE
and DELETE to a workspace; ``definitions`` does CREATE and DROP. Nothing here parses, plans
across statements, or waits.
"""
