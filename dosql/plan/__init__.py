"""Statements and plans as pure data; nothing here runs anything.

Modules:
    syntax: what the parser makes of a text; names are not resolved.
    expr: bound expressions: every column, type and function is known.
    logical: bound query blocks, and bound statements.
    physical: how a block is run: access paths, join order and methods.
"""
