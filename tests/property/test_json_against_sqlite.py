"""JSON functions beside SQLite, and JSON against Python's own by chance."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosql.engine import Database
from dosql.errors import DosqlError

EXPRESSIONS = r"""
json_extract('{"a":2,"c":[4,5,{"f":7}]}', '$')
json_extract('{"a":2,"c":[4,5,{"f":7}]}', '$.c[2].f')
json_extract('{"a":2,"c":[4,5],"f":7}','$.c','$.a')
json_extract('{"a":2,"c":[4,5],"f":7}','$.c[#-1]')
json_extract('{"a":2}', '$.x')
json_extract('{"a":"xyz"}', '$.a')
json_extract('{"a":null}', '$.a')
'{"a":2,"c":[4,5,{"f":7}]}' -> '$.c'
'{"a":2,"c":[4,5,{"f":7}]}' -> 'c' -> 2 ->> 'f'
'{"a":"x"}' ->> '$.a'
'{"a":"x"}' -> 'a'
'[11,22,33,44]' -> 3
'[11,22,33,44]' ->> -1
json_array(1,2,'3',4.5,NULL)
json_array(json_array(1), '[2]', json('[3]'))
json_object('a',2,'c','{"e":5}')
json_object('a',2,'c',json('{"e":5}'))
json_object('a', json_extract('{"x":[1]}','$.x'), 'b', json_extract('{"x":"s"}','$.x'))
json_array_length('[1,2,3,4]')
json_array_length('{"one":[1,2,3]}','$.one')
json_array_length('{"one":[1,2,3]}','$.two')
json_array_length('{"one":[1,2,3]}')
json_insert('[1,2,3,4]','$[#]',99)
json_insert('[1,[2,3],4]','$[1][#]',99)
json_insert('{"a":2,"c":4}', '$.a', 99)
json_insert('{"a":2,"c":4}', '$.e', 99)
json_replace('{"a":2,"c":4}', '$.a', 99)
json_replace('{"a":2,"c":4}', '$.e', 99)
json_set('{"a":2,"c":4}', '$.e', 99, '$.a', json('[1]'))
json_set('{"a":2,"c":4}', '$.c', '[97,96]')
json_set('{}', '$.a.b[0].c', 1)
json_set('{"a":1}', '$.a.b', 1)
json_set('[1]', '$[3]', 1)
json_remove('[0,1,2,3,4]','$[2]')
json_remove('[0,1,2,3,4]','$[#-1]','$[0]')
json_remove('{"x":25,"y":42}','$.z')
json_remove('{"x":25,"y":42}','$')
json_remove('{"x":25,"y":42}')
json_patch('{"a":1,"b":2}','{"c":3,"d":4}')
json_patch('{"a":[1,2],"b":2}','{"a":9}')
json_patch('{"a":[1,2],"b":2}','{"a":null}')
json_patch('{"a":{"b":1,"c":2}}','{"a":{"b":null,"d":{"e":null}}}')
json_patch('[1]','{"a":1}')
json_type('{"a":[2,3.5,true,false,null,"x"]}')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a[0]')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a[1]')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a[2]')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a[4]')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a[5]')
json_type('{"a":[2,3.5,true,false,null,"x"]}','$.a[6]')
json_valid('{"x":35}')
json_valid('{"x":35')
json_valid(NULL)
json_valid('')
json_quote(3.14159)
json_quote('ver"dant')
json_quote('[1]')
json_quote(json('[1]'))
json_quote(NULL)
json('{bad')
json(NULL)
json_object('a')
json_object(1,2)
json_extract('{"a b":1,"c.d":2}', '$."a b"')
json_extract('{"a b":1,"c.d":2}', '$."c.d"')
json_extract('{"a":1}', 'a')
json_extract('{"a":1}', '$.a.')
json_extract('[1,2]', '$[x]')
json_extract(NULL, '$')
json_extract('{}', NULL)
json_pretty('{"a":[1,{}],"b":[]}')
json_pretty('[1,2]', '  ')
json_extract('[123456789012345678901234567890]', '$[0]')
json_extract('[-0.0, 1E3]', '$[1]')
typeof(json_extract('[true]', '$[0]'))
typeof('{"a":1}' -> 'a')
typeof('{"a":1}' ->> 'a')
json_array(1.0, 1e20, 0.1, -5)
json_error_position('[1]')
upper('{"a":"x"}' ->> 'a') || 'y'
'{"a":1}' ->> 'a' + 1
json_array('é', char(9), 'a/b')
length(json_array(1,2))
CASE WHEN json_valid('[1]') THEN json_array(json('[1]')) END
json_extract('[1,2]', '$["a"]')
json_extract('{"a":1}', '$["a"]')
json('"\u0041"'), json('"\/"'), json('"\x41\v\0"'), json('''it"s\'''''), json('''q"r'''), json('"a\u00e9b"')
json_extract('["\u0041\/"]', '$[0]'), json_extract('[["\u0041\/"]]', '$[0]')
hex(jsonb('"\u0041\/"')), hex(jsonb('"\x41"')), hex(jsonb('''a"b''')), hex(jsonb('{"\u0061":1}'))
hex(jsonb('[0x10,.5,5.,+5,Infinity,+2.5,-.5e1]')), json(jsonb('[0x10,.5,5.,+5,Infinity,-inf,NaN,-0x1F]'))
json_set('{"\u0061":1}', '$.a', 2), json_set('{"a":"\u0041"}', '$.b', 2), json_extract('{"\u0061":1}', '$."\u0061"')
json_insert('[]', '$[#]', json('"\u0041"')), json_remove('{"\u0061":"\u0041","b":"\/"}', '$.a')
'["\u0041"]' -> 0, '["\u0041"]' ->> 0, '[["\u0041"]]' ->> 0
json_patch('{"\u0061":"\u0041"}', '{"a":"\u0042","c":"\u0043"}'), json_pretty('["\u0041\/"]')
json('"\ud83d\ude00"'), json_extract('"\ud83d\ude00"', '$'), json('"\ud83d"')
json_error_position('.'), json_error_position('+.'), json_error_position('[+.5, +.]'), json_error_position('"\q"')
json_error_position(x'3132330078'), json_error_position(x'38615C71'), json_error_position(x'7B22')
json_valid('[1]' || char(0) || 'x'), json('[1]' || char(0) || 'x'), json_extract(x'3132330078', '$')
json(x'45312e652b'), json_type(x'45312e652b'), json_insert(x'45312e652b', '$.a', 1)
json_extract(x'45312e652b', '$')
json_valid(x'38615C71', 8), json_valid(x'38615C71', 4), json_valid(x'78615C755A5A5A5A', 8), json_valid(x'49615C3035', 8)
json_valid(x'17FF', 8), json_valid(x'C9055C0AC35C71', 8), json_valid(x'C8025C00', 8)
json_valid(x'CB09F00000000000000000', 8), json_valid(x'CB09F00000000000000000', 4)
hex(jsonb('["x' || char(9) || 'y"]')), json_valid('["x' || char(9) || 'y"]'), json_valid('["x' || char(9) || 'y"]', 2)
subtype(json_quote('x')), subtype(1), subtype('[[1]]' -> 0), subtype('[[1]]' ->> 0), subtype(json_group_array(1))
json_array('[[1]]' ->> 0), json_array('[[1]]' -> 0), json_array(coalesce(json('[1]'), 1))
json_array(iif(1, json('[1]'), 2))
json_object('a', CASE WHEN 1 THEN json('[1]') END), json_array((SELECT json('[1]'))), json_array(nullif(json('[1]'), 2))
""".strip().split("\n")
QUERIES = [
    "SELECT json_group_array(n) FROM t",
    "SELECT g, json_group_array(json_object('n', n)) FROM t GROUP BY g ORDER BY g",
    "SELECT json_group_object(id, n) FROM t",
    "SELECT g, json_object('all', json_group_array(n), 'sum', sum(n)) FROM t GROUP BY g ORDER BY g",
    "SELECT json_array(json_group_object(id, json_array(n))) FROM t",
    "SELECT json_group_array(n) FILTER (WHERE n > 1) FROM t",
    "SELECT id FROM t WHERE doc ->> '$.k' = 'b' ORDER BY id",
    "SELECT id, doc -> 'list' ->> 0 FROM t ORDER BY id",
    "SELECT sum(doc ->> 'n') FROM t",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_same_as_in_sqlite(expression: str) -> None:
    session, oracle = Database.open(":memory:").session(), apsw.Connection(":memory:")
    try:
        mine: Any = session.execute(f"SELECT {expression}").rows
    except DosqlError:
        mine = "error"
    try:
        theirs: Any = list(oracle.execute(f"SELECT {expression}"))
    except apsw.Error:
        theirs = "error"
    assert mine == theirs


@pytest.mark.parametrize("sql", QUERIES)
def test_in_queries(sql: str) -> None:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    rows = [(1, "a", 1, '{"k":"a","n":1,"list":[5]}'), (2, "b", None, '{"k":"b","n":2}'), (3, "b", 3, '{"list":["x"]}')]
    for connection in (session, oracle):
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, g TEXT, n INTEGER, doc TEXT)")
        for row in rows:
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
    database.store.flush()
    assert session.execute(sql).rows == list(oracle.execute(sql))
    # What a function gives is stored as plain text.
    session.execute("UPDATE t SET doc = json_set(doc, '$.new', json_array(id))")
    database.store.flush()
    assert {type(row[0]) for row in session.execute("SELECT doc FROM t").rows} == {str}
    database.close()


ROOTS = ["", ", '$'", ", '$.a'", ", '$.a[1]'", ", '$.a[#-1]'", ", '$.\"x y\"'", ", '$.none'", ", '$.n'"]
TEXTS = [
    """{"a":[1,{"b":null},"z"],"x y":{"c":true},"n":1.50,"\\u0061":"\\u0041\\/","a":7}""",
    "[1,[2,[]],{}]",
    '"x"',
    "12",
    "{a:0x10,'b':+.5}",
]


@pytest.mark.parametrize("columns", ["*", "key, value, type, atom, fullkey, path", "value", "key, id", "fullkey, atom"])
def test_rows_of_trees(columns: str) -> None:
    session, oracle = Database.open(":memory:").session(), apsw.Connection(":memory:")
    for function in ("json_each", "json_tree"):
        for text in TEXTS:
            for root in ROOTS:
                if (
                    function == "json_tree"
                    and "]" in root
                    and "key" in columns.replace("fullkey", "").replace("*", "key")
                ):
                    continue  # SQLite names the key of such a root by the path: a[1]
                sql = f"SELECT {columns} FROM {function}(?{root})"
                assert session.execute(sql, (text,)).rows == list(oracle.execute(sql, (text,))), (sql, text)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters='"\\'), min_size=1, max_size=5
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_what_python_reads_and_writes(value: Any) -> None:
    session = Database.open(":memory:").session()
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(session.execute("SELECT json(?)", (text,)).scalar()) == value
    assert json.loads(session.execute("SELECT json_pretty(?)", (text,)).scalar()) == value
    if isinstance(value, dict):
        for name, part in value.items():
            found = session.execute("SELECT ? -> ?", (text, f'$."{name}"')).scalar()
            assert json.loads(found) == part
            without = session.execute("SELECT json_remove(?, ?)", (text, f'$."{name}"')).scalar()
            assert json.loads(without) == {k: v for k, v in value.items() if k != name}


DOCUMENTS = r"""
{"a":1,"b":"x"}
{"a":1,"a":2}
{"b":{"a":3}}
{"b":{"a":3},"a":4}
{"a":"a"}
{"x":"a"}
[1,2]
{"a":[1,{"a":2}]}
{"a":-5}
{"a":-0}
{"a":1.50}
{"a":1e3}
{"a":true,"b":false,"c":null}
{a:1}
{"\u0061":1,"a":2}
{"a":"q\n"}
{"a":12345678901234567890}
{"a":-9223372036854775808}
 {"a" : "é😀" }
{"a":""}
{"a":1
{"a":01}
"a"
{"a":+1}
{"a":.5}
{"a":1,}
{"a b":7,"1":8,"":9}
{"a":{}}
{"a":0x10}
{'a':1}
{"a":1}x
{"é":1}
{"a":1e400}
{"a":123456789012345678}
{"a":1234567890123456789}
""".splitlines()[1:]
PATHS = [
    "a",
    "$.a",
    "b",
    "$.b",
    "c",
    "a b",
    "1",
    "",
    "$",
    "$.é",
    "é",
    '$."a"',
    "$.a.a",
    "$.a[1]",
    "[0]",
    "$.A",
    "$.a b",
]


@pytest.mark.parametrize("path", PATHS)
def test_one_member(path: str) -> None:
    session, lite = Database.open(":memory:").session(), apsw.Connection(":memory:")
    for document in DOCUMENTS:
        for expression in ("? ->> ?", "json_extract(?, ?)", "typeof(? ->> ?)", "typeof(json_extract(?, ?))", "? -> ?"):
            expected: Any = "refused"
            with contextlib.suppress(apsw.Error):
                expected = list(lite.execute(f"SELECT {expression}", (document, path)))
            found: Any = "refused"
            with contextlib.suppress(DosqlError):
                found = session.execute(f"SELECT {expression}", (document, path)).rows
            assert repr(found) == repr(expected), (document, expression)


ARRAYS = [
    *DOCUMENTS,
    '[1,"a",null,true,false,1.5,-0,0,-0.0,1e3]',
    '{"a":[1,2,"x"],"b":[[1],{}]}',
    '{"a":[-9223372036854775809,9223372036854775807,18446744073709551616]}',
    '{"a":[],"a":[1]}',
    '{"b":{"a":[7]}}',
    '["\\u0061", "é"]',
    "[1,2,]",
    "[1] ",
    "[",
    "7",
    "null",
]


@pytest.mark.parametrize("columns", ["key, value, type, atom", "value", "count(*), total(value)", "*"])
def test_elements_of_arrays(columns: str) -> None:
    session, lite = Database.open(":memory:").session(), apsw.Connection(":memory:")
    for document in ARRAYS:
        for path in ("$", "$.a", "$.b", "$.b.a", "$.a[0]", '$."a"', "a", None):
            sql = f"SELECT {columns} FROM json_each(?, ?)"
            expected: Any = "refused"
            with contextlib.suppress(apsw.Error):
                expected = list(lite.execute(sql, (document, path)))
            found: Any = "refused"
            with contextlib.suppress(DosqlError):
                found = session.execute(sql, (document, path)).rows
            assert repr(found) == repr(expected), (document, path)
