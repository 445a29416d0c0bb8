"""Many queries of an application beside sqlite3: ``python -m benchmarks.queries``.

Each runs on the same tables in both engines, in turn; printed are the ratios of the medians, worst first, and the
median of each section. A new kind of query that is slow shows here first.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import time
from typing import Any

from dosql import dbapi

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]

QUERIES: dict[str, list[str]] = {
    "windows": [
        "SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY total) FROM orders",
        "SELECT id, rank() OVER (PARTITION BY status ORDER BY total DESC) FROM orders",
        "SELECT id, avg(total) OVER (ORDER BY id ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM orders",
        "SELECT id, max(total) OVER (ORDER BY id ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM orders",
        "SELECT id, total / sum(total) OVER (PARTITION BY status) FROM orders",
        "SELECT id, percent_rank() OVER (PARTITION BY status ORDER BY total), cume_dist() OVER (PARTITION BY "
        "status ORDER BY total) FROM orders",
        "SELECT id, first_value(total) OVER w, last_value(total) OVER w FROM orders WINDOW w AS (PARTITION BY"
        " status ORDER BY total)",
        "SELECT id, sum(qty) OVER (ORDER BY id RANGE BETWEEN 100 PRECEDING AND CURRENT ROW) FROM items",
        "SELECT id, group_concat(id) OVER (PARTITION BY customer_id ORDER BY id) FROM orders",
        "SELECT id, total, rank() OVER (PARTITION BY customer_id ORDER BY total DESC) FROM orders",
        "SELECT * FROM (SELECT id, customer_id, total, row_number() OVER (PARTITION BY customer_id ORDER BY "
        "total DESC) rn FROM orders) WHERE rn = 1",
        "SELECT id, total - lag(total) OVER (ORDER BY id) FROM orders",
        "WITH m AS (SELECT substr(at, 1, 7) mo, sum(total) s FROM orders GROUP BY 1) SELECT mo, s, s - lag(s)"
        " OVER (ORDER BY mo) FROM m",
        "SELECT sum(qty) OVER (ORDER BY id ROWS 10 PRECEDING) FROM items",
        "SELECT ntile(10) OVER (ORDER BY total), total FROM orders",
        "SELECT id, sum(total) OVER (PARTITION BY customer_id ORDER BY at) FROM orders",
        "SELECT DISTINCT customer_id, first_value(total) OVER (PARTITION BY customer_id ORDER BY at) FROM orders",
        "SELECT status, percent_rank() OVER (PARTITION BY status ORDER BY total) FROM orders",
    ],
    "groups": [
        "SELECT country, count(*) FROM customers GROUP BY country",
        "SELECT country, count(DISTINCT substr(since,1,4)) FROM customers GROUP BY country",
        "SELECT status, sum(total), avg(total), min(at), max(at) FROM orders GROUP BY status",
        "SELECT DISTINCT status, note FROM orders",
        "SELECT DISTINCT customer_id FROM orders WHERE total > 900",
        "SELECT count(DISTINCT customer_id) FROM orders",
        "SELECT id, CASE WHEN total < 100 THEN 'small' WHEN total < 500 THEN 'medium' ELSE 'large' END AS "
        "size, count(*) FROM orders GROUP BY size",
        "SELECT CASE WHEN total < 100 THEN 'small' WHEN total < 500 THEN 'medium' ELSE 'large' END AS size, "
        "count(*), sum(total) FROM orders GROUP BY 1",
        "SELECT coalesce(note, 'none'), count(*) FROM orders GROUP BY 1 HAVING count(*) > 10",
        "SELECT group_concat(name, ', ') FROM customers WHERE country = 'DE'",
        "SELECT customer_id, group_concat(id) FROM orders GROUP BY customer_id",
        "SELECT status, count(*) FROM orders WHERE customer_id = 7 GROUP BY status",
        "WITH t AS (SELECT customer_id, sum(total) s FROM orders GROUP BY customer_id) SELECT avg(s), max(s) FROM t",
        "SELECT customer_id, max(total), at FROM orders GROUP BY customer_id",
        "SELECT count(*) FROM orders WHERE note LIKE '%olf%'",
        "SELECT count(*) FROM customers WHERE name LIKE 'Customer 1%'",
        "SELECT count(*) FROM orders WHERE at > '2025-06-01' AND status <> 'done'",
        "SELECT sum(total) FILTER (WHERE status = 'new'), sum(total) FILTER (WHERE status = 'paid') FROM orders",
        "SELECT total(qty), avg(price), count(*) FROM items WHERE product_id IN (1, 2, 3, 5, 8)",
        "SELECT round(total, 1) r, count(*) FROM orders GROUP BY r ORDER BY 2 DESC LIMIT 5",
        "SELECT id % 7, sum(total) FROM orders GROUP BY id % 7",
        "SELECT max(id) FROM orders",
        "SELECT min(total) FROM orders",
        "SELECT count(*) FROM items",
        "SELECT customer_id, count(*) c, sum(total) FROM orders GROUP BY customer_id HAVING c > 12 ORDER BY 3 DESC",
        "SELECT substr(at, 1, 7) m, status, count(*), sum(total) FROM orders GROUP BY m, status ORDER BY m, status",
        "SELECT customer_id, status, count(*) FROM orders GROUP BY customer_id, status",
        "SELECT kind, max(stock), min(stock), sum(stock), avg(stock) FROM products GROUP BY kind",
        "SELECT count(*) FROM customers WHERE country IS NULL",
        "SELECT country, group_concat(name, ';') FROM customers WHERE id < 200 GROUP BY country",
        "SELECT substr(since, 1, 4) AS y, count(*) FROM customers GROUP BY y ORDER BY y",
        "SELECT length(name), count(*) FROM customers GROUP BY 1",
        "SELECT sum(total * 1.19), sum(round(total * 0.19, 2)) FROM orders",
        "SELECT min(total), max(total), avg(total), sum(total), count(*) FROM orders WHERE status = 'paid'",
        "SELECT count(*) FROM orders WHERE total > 100 AND total < 900 AND status IN ('new', 'paid')",
        "SELECT count(*) FROM orders WHERE note IS NULL OR note = 'alpha' OR note LIKE 'b%'",
        "SELECT count(*), count(note), count(DISTINCT note) FROM orders",
        "SELECT status, count(DISTINCT customer_id) FROM orders GROUP BY status",
        "SELECT DISTINCT country FROM customers ORDER BY country",
        "SELECT DISTINCT substr(at, 1, 10) FROM orders",
        "SELECT note, count(*) FROM orders GROUP BY note ORDER BY count(*) DESC",
        "SELECT customer_id, avg(total) a FROM orders GROUP BY customer_id ORDER BY a DESC LIMIT 5",
        "SELECT max(at), min(at) FROM orders",
        "SELECT id / 100 AS bucket, sum(total) FROM orders GROUP BY bucket",
        "SELECT cast(total AS INTEGER) t, count(*) FROM orders GROUP BY t ORDER BY 2 DESC, 1 LIMIT 10",
        "SELECT product_id, sum(qty) FROM items GROUP BY product_id",
        "SELECT product_id, qty, count(*) FROM items GROUP BY product_id, qty",
        "SELECT instr(name, 'golf') > 0, count(*) FROM products GROUP BY 1",
        "SELECT min(id), max(id), count(*) FROM items",
        "SELECT group_concat(DISTINCT status) FROM orders",
        "SELECT iif(total > 500, 'high', 'low') k, count(*), sum(total) FROM orders GROUP BY k",
    ],
    "dates": [
        "SELECT strftime('%Y-%m', at) AS m, sum(total) FROM orders GROUP BY m ORDER BY m",
        "SELECT date(at, 'start of month') AS m, count(*) FROM orders GROUP BY 1",
        "SELECT julianday('2026-01-01') - julianday(at) FROM orders",
        "SELECT id FROM orders WHERE date(at) = '2025-03-05'",
        "SELECT strftime('%H', at) h, count(*) FROM orders GROUP BY h",
        "SELECT strftime('%w', at) d, avg(total) FROM orders GROUP BY d",
        "SELECT date(at, '+1 day'), time(at) FROM orders LIMIT 5000",
        "SELECT id FROM orders WHERE at > datetime('2025-11-01', '-30 days')",
        "SELECT unixepoch(at) / 86400 AS d, count(*) FROM orders GROUP BY d",
        "SELECT avg(julianday('2026-01-01') - julianday(since)) FROM customers",
    ],
    "joins": [
        "SELECT c.name, count(*) n FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER"
        " BY n DESC, c.id LIMIT 10",
        "SELECT c.country, sum(i.qty * i.price) FROM customers c JOIN orders o ON o.customer_id = c.id JOIN "
        "items i ON i.order_id = o.id GROUP BY c.country",
        "SELECT c.id, c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL",
        "WITH t AS (SELECT customer_id, sum(total) s FROM orders GROUP BY customer_id) SELECT c.name, t.s "
        "FROM t JOIN customers c ON c.id = t.customer_id WHERE t.s > 5000 ORDER BY t.s DESC",
        "SELECT p.kind, sum(i.qty) FROM items i JOIN products p ON p.id = i.product_id GROUP BY p.kind",
        "SELECT p.name, sum(i.qty * i.price) r FROM items i JOIN products p ON p.id = i.product_id GROUP BY "
        "p.id ORDER BY r DESC LIMIT 10",
        "SELECT o.status, p.kind, count(*) FROM orders o JOIN items i ON i.order_id = o.id JOIN products p ON"
        " p.id = i.product_id WHERE o.total > 500 GROUP BY 1, 2",
        "SELECT a.id, b.id FROM customers a JOIN customers b ON a.since = b.since AND a.id < b.id",
        "SELECT o.*, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.total > 900 ORDER "
        "BY o.total DESC",
        "SELECT o.id, c.name, i.qty FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN items i "
        "ON i.order_id = o.id WHERE c.country = 'FR'",
        "SELECT o.customer_id, p.kind, count(DISTINCT p.id) FROM orders o JOIN items i ON i.order_id = o.id "
        "JOIN products p ON p.id = i.product_id GROUP BY 1, 2",
        "SELECT DISTINCT c.country FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.total > 995",
        "SELECT c.name FROM customers c CROSS JOIN products p WHERE p.stock = 7 AND c.id < 100",
        "SELECT sum(a.qty * b.qty) FROM items a JOIN items b ON a.order_id = b.order_id",
        "SELECT count(*) FROM orders o, items i WHERE i.order_id = o.id AND o.total > 900 AND i.qty > 5",
        "SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id GROUP BY o.id HAVING count(*) > 5",
        "SELECT o.id, sum(i.qty * i.price) s FROM orders o JOIN items i ON i.order_id = o.id GROUP BY o.id "
        "ORDER BY s DESC LIMIT 20",
        "SELECT c.country, o.status, count(*), avg(o.total) FROM customers c JOIN orders o ON o.customer_id ="
        " c.id GROUP BY c.country, o.status",
        "SELECT c.name, o.id, o.total FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.total"
        " > 900 ORDER BY c.id LIMIT 500",
        "SELECT c.name, p.name FROM customers c JOIN orders o ON o.customer_id = c.id JOIN items i ON "
        "i.order_id = o.id JOIN products p ON p.id = i.product_id WHERE c.id = 42",
        "SELECT a.name, b.name FROM products a JOIN products b ON a.kind = b.kind AND a.stock = b.stock AND "
        "a.id < b.id",
        "WITH big AS (SELECT * FROM orders WHERE total > 800), small AS (SELECT * FROM orders WHERE total < "
        "50) SELECT count(*) FROM big b JOIN small s ON b.customer_id = s.customer_id",
        "SELECT i.product_id, count(DISTINCT o.customer_id) FROM items i JOIN orders o ON o.id = i.order_id "
        "GROUP BY i.product_id",
        "SELECT o.status, avg(i.price) FROM orders o LEFT JOIN items i ON i.order_id = o.id GROUP BY o.status",
        "SELECT count(*) FROM orders a JOIN orders b ON a.customer_id = b.customer_id AND a.id < b.id",
        "SELECT coalesce(o.note, c.country, 'none') k, count(*) FROM orders o JOIN customers c ON c.id = "
        "o.customer_id GROUP BY k",
    ],
    "subqueries": [
        "SELECT c.id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND"
        " o.status = 'done')",
        "SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND "
        "o.total > 990)",
        "SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 950)",
        "SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE status = 'paid')",
        "SELECT c.id, (SELECT max(total) FROM orders o WHERE o.customer_id = c.id) FROM customers c",
        "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c",
        "SELECT o.id FROM orders o WHERE o.total > (SELECT avg(total) FROM orders p WHERE p.customer_id = "
        "o.customer_id) ORDER BY o.id LIMIT 100",
        "SELECT * FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'JP') AND total > 800",
        "SELECT * FROM orders o WHERE total = (SELECT max(total) FROM orders)",
        "SELECT id, total FROM orders WHERE total > (SELECT avg(total) FROM orders) AND status = 'paid'",
        "SELECT c.id, (SELECT o.at FROM orders o WHERE o.customer_id = c.id ORDER BY o.at DESC LIMIT 1) FROM "
        "customers c",
        "SELECT o.status, count(*) FROM orders o WHERE o.customer_id IN (SELECT customer_id FROM orders GROUP"
        " BY customer_id HAVING sum(total) > 6000) GROUP BY o.status",
        "SELECT p.name FROM products p WHERE p.id IN (SELECT i.product_id FROM items i JOIN orders o ON o.id "
        "= i.order_id WHERE o.customer_id = 42)",
        "SELECT kind, name FROM products p WHERE stock = (SELECT max(stock) FROM products q WHERE q.kind = p.kind)",
        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM items), (SELECT max(total) FROM orders)",
        "SELECT o.id FROM orders o WHERE (SELECT count(*) FROM items i WHERE i.order_id = o.id) > 5",
        "SELECT o.id FROM orders o WHERE o.id IN (SELECT order_id FROM items WHERE qty > 8) AND o.status = 'new'",
        "SELECT c.id FROM customers c WHERE (SELECT sum(total) FROM orders o WHERE o.customer_id = c.id) > 8000",
        "SELECT * FROM (SELECT customer_id, count(*) n FROM orders GROUP BY customer_id) t JOIN customers c "
        "ON c.id = t.customer_id WHERE t.n > 15",
        "SELECT c.id, t.n FROM customers c LEFT JOIN (SELECT customer_id, count(*) n FROM orders GROUP BY "
        "customer_id) t ON t.customer_id = c.id",
        "SELECT a.id FROM orders a WHERE NOT EXISTS (SELECT 1 FROM orders b WHERE b.customer_id = "
        "a.customer_id AND b.total > a.total)",
        "SELECT count(*) FROM (SELECT DISTINCT customer_id, status FROM orders)",
        "SELECT count(*) FROM orders WHERE (customer_id, status) IN (SELECT customer_id, status FROM orders "
        "WHERE total > 950)",
    ],
    "order": [
        "SELECT * FROM orders ORDER BY total DESC LIMIT 20",
        "SELECT * FROM orders ORDER BY at, id",
        "SELECT id, name FROM customers ORDER BY name",
        "SELECT id, name FROM customers ORDER BY country, name DESC",
        "SELECT * FROM orders WHERE status = 'new' ORDER BY at DESC LIMIT 50",
        "SELECT abs(total - 500), id FROM orders ORDER BY 1 LIMIT 5",
        "SELECT name FROM products WHERE stock < 20 ORDER BY stock, name",
        "SELECT * FROM orders ORDER BY id DESC LIMIT 10",
        "SELECT * FROM orders ORDER BY customer_id, total DESC LIMIT 10",
        "SELECT * FROM orders WHERE id > 15000 ORDER BY id LIMIT 10",
        "SELECT id, at FROM orders ORDER BY at DESC LIMIT 10",
        "SELECT customer_id, total FROM orders WHERE total > 500 ORDER BY customer_id, total",
        "SELECT status, at, id FROM orders ORDER BY status, at",
        "SELECT total, CASE status WHEN 'new' THEN 1 WHEN 'paid' THEN 2 ELSE 3 END k FROM orders ORDER BY k, "
        "total LIMIT 100",
        "SELECT name FROM customers ORDER BY name COLLATE NOCASE LIMIT 20",
    ],
    "filters": [
        "SELECT * FROM orders WHERE status = 'new' AND at >= '2025-06-01' AND at < '2025-07-01'",
        "SELECT * FROM orders WHERE total BETWEEN 100 AND 120",
        "SELECT * FROM orders WHERE note IS NULL AND total < 50",
        "SELECT * FROM orders WHERE note IN ('alpha','bravo') OR total > 990",
        "SELECT * FROM customers WHERE email = 'c77@example.com'",
        "SELECT * FROM customers WHERE lower(email) = 'c77@example.com'",
        "SELECT * FROM orders WHERE id IN (1,5,9,100,1000,5000,7777)",
        "SELECT id FROM orders WHERE note GLOB 'a*' OR note GLOB '*t'",
        "SELECT * FROM products WHERE name LIKE 'alpha%'",
        "SELECT * FROM products WHERE name LIKE '%golf%' AND stock > 50",
        "SELECT trim(note), ltrim(note, 'a'), rtrim(note, 'o') FROM orders WHERE note IS NOT NULL",
        "SELECT id FROM orders WHERE customer_id = 5 AND status = 'paid' AND total > 10",
        "SELECT id FROM orders WHERE customer_id BETWEEN 100 AND 110",
        "SELECT id FROM orders WHERE status = 'new' AND note = 'golf' AND total BETWEEN 10 AND 900",
        "SELECT id, total FROM orders WHERE id % 100 = 0",
        "SELECT id FROM items WHERE product_id = 77 AND qty > 3",
        "SELECT * FROM orders WHERE at BETWEEN '2025-03-01' AND '2025-03-05'",
        "SELECT * FROM orders WHERE status || note = 'newgolf'",
        "SELECT id FROM customers WHERE email LIKE '%7@example.com'",
        "SELECT id FROM customers WHERE name = 'Customer 55' COLLATE NOCASE",
    ],
    "expressions": [
        "SELECT upper(name), length(email), substr(email, 1, 3) FROM customers",
        "SELECT name || ' <' || email || '>' FROM customers",
        "SELECT printf('%05d %.2f', id, total) FROM orders LIMIT 5000",
        "SELECT replace(name, 'Customer', 'Client'), instr(email, '@') FROM customers",
        "SELECT * FROM items LIMIT 100 OFFSET 10000",
        "SELECT id, iif(total > 500, 'hi', 'lo'), nullif(status, 'new'), ifnull(note, '-') FROM orders",
        "SELECT hex(name), quote(email) FROM customers",
        "SELECT * FROM orders",
        "SELECT id, total FROM orders",
        "SELECT * FROM items",
        "SELECT upper(substr(name, 1, 1)) || lower(substr(name, 2)) FROM customers",
        "SELECT id, total * 1.19 AS gross, round(total * 0.19, 2) AS tax FROM orders",
        "SELECT typeof(note), typeof(total) FROM orders",
        "SELECT total || ' EUR' FROM orders",
        "SELECT quote(note), hex(status) FROM orders LIMIT 3000",
        "SELECT replace(replace(email, '@', ' at '), '.', ' dot ') FROM customers",
    ],
    "JSON": [
        "SELECT json_extract(data, '$.color'), count(*) FROM products GROUP BY 1",
        "SELECT id, data ->> '$.w' FROM products WHERE data ->> '$.w' > 50",
        "SELECT p.id, t.value FROM products p, json_each(p.data, '$.tags') t",
        "SELECT json_group_array(name) FROM products",
        "SELECT json_object('id', id, 'name', name) FROM customers",
        "SELECT x.value, count(*) FROM products p, json_each(p.data, '$.tags') x GROUP BY x.value",
        "SELECT o.id, json_group_array(json_object('p', i.product_id, 'q', i.qty)) FROM orders o JOIN items i"
        " ON i.order_id = o.id WHERE o.id < 2000 GROUP BY o.id",
        "SELECT json_extract(data, '$.tags[0]') FROM products",
        "SELECT json_array_length(data, '$.tags') FROM products",
        "SELECT json_set(data, '$.w', 5) FROM products",
        "SELECT json_valid(data), json_type(data, '$.w') FROM products",
        "SELECT p.id, j.key, j.value FROM products p, json_each(p.data) j WHERE p.id < 100",
        "SELECT json_group_object(id, name) FROM products",
        "SELECT name FROM products ORDER BY data ->> '$.w' DESC LIMIT 10",
    ],
    "compound": [
        "SELECT 'order' AS k, id FROM orders WHERE total > 900 UNION ALL SELECT 'item', id FROM items WHERE price > 90",
        "SELECT customer_id FROM orders WHERE total > 500 INTERSECT SELECT customer_id FROM orders WHERE "
        "status = 'new'",
        "SELECT customer_id FROM orders EXCEPT SELECT customer_id FROM orders WHERE status = 'new'",
        "SELECT id FROM customers UNION SELECT customer_id FROM orders",
    ],
    "recursive": [
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 10000) SELECT sum(x) FROM n",
        "WITH RECURSIVE t(n, s) AS (SELECT 1, 'a' UNION ALL SELECT n + 1, s || 'b' FROM t WHERE n < 500) "
        "SELECT max(length(s)) FROM t",
        "WITH RECURSIVE fib(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM fib WHERE b < 1000000000) "
        "SELECT a FROM fib",
    ],
}


def load(connection: Any, rows: int) -> None:
    """Makes the tables, the same in every engine."""
    rng = random.Random(5)
    count = rows // 10
    for sql in (
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT, email TEXT UNIQUE, since TEXT)",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), "
        "total REAL, status TEXT, at TEXT, note TEXT)",
        "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, stock INTEGER, data TEXT)",
        "CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, product_id INTEGER, qty INTEGER, price REAL)",
        "CREATE INDEX orders_customer ON orders (customer_id)",
        "CREATE INDEX items_order ON items (order_id)",
        "CREATE INDEX orders_status ON orders (status, at)",
    ):
        connection.execute(sql)

    def day(year: int) -> str:
        return f"{year}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"

    def document() -> str:
        first, second, third = rng.choices(WORDS, k=3)
        return f'{{"color": "{first}", "tags": ["{second}", "{third}"], "w": {rng.randrange(100)}}}'

    countries, states = ["US", "DE", "FR", "GB", "JP", None], ["new", "paid", "sent", "done"]
    tables: dict[str, list[tuple[Any, ...]]] = {
        "customers": [
            (i, f"Customer {i}", rng.choice(countries), f"c{i}@example.com", day(2010 + i % 16)) for i in range(count)
        ],
        "orders": [
            (
                *(i, rng.randrange(count), round(rng.uniform(1, 1000), 2), rng.choice(states)),
                *(f"{day(2025)} {rng.randrange(24):02}:00:00", rng.choice([None, *WORDS])),
            )
            for i in range(rows)
        ],
        "products": [
            (i, f"{rng.choice(WORDS)} {rng.choice(WORDS)} {i}", rng.choice("abcd"), rng.randrange(100), document())
            for i in range(500)
        ],
        "items": [
            (i, rng.randrange(rows), rng.randrange(500), rng.randrange(1, 10), round(rng.uniform(1, 100), 2))
            for i in range(2 * rows)
        ],
    }
    connection.execute("BEGIN")
    for table, data in tables.items():
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(data[0]))})", data)
    connection.execute("COMMIT")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="orders; there are twice as many items")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="sections or queries that have this text")
    options = parser.parse_args()
    engines: list[Any] = [
        dbapi.connect(":memory:", autocommit=True),
        sqlite3.connect(":memory:", isolation_level=None),
    ]
    for connection in engines:
        load(connection, options.rows)
    found: dict[str, list[tuple[float, float, float, str]]] = {}
    for section, queries in QUERIES.items():
        for sql in queries:
            if options.only not in section and options.only not in sql:
                continue
            times: list[list[float]] = [[], []]
            for number in range(options.rounds + 1):
                for connection, taken in zip(engines, times, strict=True):
                    started = time.perf_counter()
                    connection.execute(sql).fetchall()
                    if number:  # the first round prepares it
                        taken.append(time.perf_counter() - started)
            mine, theirs = (statistics.median(taken) for taken in times)
            found.setdefault(section, []).append((mine / theirs, mine * 1e3, theirs * 1e3, sql))
    for section, figures in found.items():
        print(f"\n{section}: median {statistics.median(f[0] for f in figures):.2f}")
        for ratio, mine, theirs, sql in sorted(figures, reverse=True):
            print(f"{ratio:7.2f} {mine:9.2f} {theirs:9.2f} ms  {sql}")
    every = [f[0] for figures in found.values() for f in figures]
    if every:
        over = sum(ratio > 1 for ratio in every)
        print(f"\nmedian of {len(every)} ratios to sqlite3: {statistics.median(every):.2f}; {over} over 1")


if __name__ == "__main__":
    main()
