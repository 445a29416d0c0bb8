"""TPC-C's tables: how they are made and filled, and what must hold of them."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import Any

SCHEMA = """
CREATE TABLE warehouse (w_id INTEGER PRIMARY KEY, w_name TEXT, w_tax INTEGER, w_ytd BIGINT);
CREATE TABLE district (d_w_id INTEGER, d_id INTEGER, d_name TEXT, d_tax INTEGER, d_ytd BIGINT, d_next_o_id INTEGER,
  PRIMARY KEY (d_w_id, d_id));
CREATE TABLE customer (c_w_id INTEGER, c_d_id INTEGER, c_id INTEGER, c_first TEXT, c_last TEXT, c_credit TEXT,
  c_discount INTEGER, c_balance BIGINT, c_ytd_payment BIGINT, c_payment_cnt INTEGER, c_delivery_cnt INTEGER,
  c_data TEXT, PRIMARY KEY (c_w_id, c_d_id, c_id));
CREATE INDEX customer_name ON customer (c_w_id, c_d_id, c_last, c_first);
CREATE TABLE history (h_c_id INTEGER, h_c_d_id INTEGER, h_c_w_id INTEGER, h_d_id INTEGER, h_w_id INTEGER,
  h_date TEXT, h_amount INTEGER);
CREATE TABLE new_order (no_w_id INTEGER, no_d_id INTEGER, no_o_id INTEGER, PRIMARY KEY (no_w_id, no_d_id, no_o_id));
CREATE TABLE orders (o_w_id INTEGER, o_d_id INTEGER, o_id INTEGER, o_c_id INTEGER, o_entry_d TEXT,
  o_carrier_id INTEGER, o_ol_cnt INTEGER, PRIMARY KEY (o_w_id, o_d_id, o_id));
CREATE INDEX orders_customer ON orders (o_w_id, o_d_id, o_c_id, o_id);
CREATE TABLE order_line (ol_w_id INTEGER, ol_d_id INTEGER, ol_o_id INTEGER, ol_number INTEGER, ol_i_id INTEGER,
  ol_supply_w_id INTEGER, ol_delivery_d TEXT, ol_quantity INTEGER, ol_amount INTEGER,
  PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number));
CREATE TABLE item (i_id INTEGER PRIMARY KEY, i_name TEXT, i_price INTEGER);
CREATE TABLE stock (s_w_id INTEGER, s_i_id INTEGER, s_quantity INTEGER, s_ytd INTEGER, s_order_cnt INTEGER,
  s_remote_cnt INTEGER, s_data TEXT, PRIMARY KEY (s_w_id, s_i_id))
"""
DISTRICTS = 10
SYLLABLES = ["BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"]
NOW = "2026-01-01 00:00:00"


@dataclass
class Scale:
    """How much there is of what."""

    warehouses: int
    items: int
    customers: int
    orders: int


class Client(ABC):
    """A connection, the same calls to all three."""

    for_update = " FOR UPDATE"

    @abstractmethod
    async def begin(self) -> None:
        """Begins a transaction."""

    @abstractmethod
    async def query(self, sql: str, *params: Any) -> list[Any]:
        """Runs a statement with ``?``; returns its rows."""

    @abstractmethod
    async def end(self, verb: str) -> None:
        """COMMIT or ROLLBACK."""

    @abstractmethod
    async def load(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Inserts rows."""

    async def one(self, sql: str, *params: Any) -> Any:
        """Returns the only row of a query."""
        rows = await self.query(sql, *params)
        return rows[0]


def nurand(rng: random.Random, a: int, low: int, high: int) -> int:
    """Returns a number that is not uniformly random: 2.1.6."""
    return ((rng.randint(0, a) | rng.randint(low, high)) + 42) % (high - low + 1) + low


def last_name(number: int) -> str:
    """Returns the last name of a number from 0 to 999."""
    return "".join(SYLLABLES[digit] for digit in (number // 100, number // 10 % 10, number % 10))


# --- population ----------------------------------------------------------------------------


async def populate(client: Client, scale: Scale) -> None:
    """Creates and fills the tables, about as 4.3.3 asks; every district has delivered 70 % of its orders."""
    rng = random.Random(1)
    for statement in SCHEMA.split(";"):
        await client.query(statement.strip())
    rows: dict[str, list[tuple[Any, ...]]] = {}

    def add(table: str, *row: Any) -> None:
        rows.setdefault(table, []).append(row)

    for i in range(1, scale.items + 1):
        add("item", i, f"item {i}", rng.randint(100, 10_000))
    for w in range(1, scale.warehouses + 1):
        add("warehouse", w, f"warehouse {w}", rng.randint(0, 2000), 1000 * DISTRICTS * scale.customers)
        for i in range(1, scale.items + 1):
            add("stock", w, i, rng.randint(10, 100), 0, 0, 0, "x" * 30)
        for d in range(1, DISTRICTS + 1):
            add("district", w, d, f"district {d}", rng.randint(0, 2000), 1000 * scale.customers, scale.orders + 1)
            for c in range(1, scale.customers + 1):
                number = c - 1 if c <= 1000 else nurand(rng, 255, 0, 999)
                credit = "BC" if rng.random() < 0.1 else "GC"
                name = (f"first {rng.randint(0, 999)}", last_name(number), credit, rng.randint(0, 5000))
                add("customer", w, d, c, *name, -1000, 1000, 1, 0, "y" * 200)
                add("history", c, d, w, d, w, NOW, 1000)
            customers = [1 + i % scale.customers for i in range(scale.orders)]
            rng.shuffle(customers)
            for o, c in enumerate(customers, 1):
                delivered = o <= scale.orders * 7 // 10
                count = rng.randint(5, 15)
                add("orders", w, d, o, c, NOW, rng.randint(1, 10) if delivered else None, count)
                if not delivered:
                    add("new_order", w, d, o)
                for number in range(1, count + 1):
                    amount = 0 if delivered else rng.randint(1, 999_999)
                    line = (rng.randint(1, scale.items), w, NOW if delivered else None, 5, amount)
                    add("order_line", w, d, o, number, *line)
    for table, data in rows.items():
        sql = f"INSERT INTO {table} VALUES ({', '.join('?' * len(data[0]))})"
        for start in range(0, len(data), 5000):
            await client.load(sql, data[start : start + 5000])


# --- consistency ---------------------------------------------------------------------------

CONDITIONS = {
    "3.3.2.1": "SELECT w_id FROM warehouse WHERE w_ytd <> (SELECT sum(d_ytd) FROM district WHERE d_w_id = w_id)",
    "3.3.2.2": "SELECT d_w_id, d_id FROM district WHERE d_next_o_id - 1 <> "
    "(SELECT max(o_id) FROM orders WHERE o_w_id = d_w_id AND o_d_id = d_id) OR d_next_o_id - 1 <> "
    "(SELECT max(no_o_id) FROM new_order WHERE no_w_id = d_w_id AND no_d_id = d_id)",
    "3.3.2.3": "SELECT no_w_id, no_d_id FROM new_order GROUP BY no_w_id, no_d_id "
    "HAVING max(no_o_id) - min(no_o_id) + 1 <> count(*)",
    "3.3.2.4": "SELECT d_w_id, d_id FROM district WHERE "
    "(SELECT sum(o_ol_cnt) FROM orders WHERE o_w_id = d_w_id AND o_d_id = d_id) <> "
    "(SELECT count(*) FROM order_line WHERE ol_w_id = d_w_id AND ol_d_id = d_id)",
    "3.3.2.5": "SELECT o_w_id, o_d_id, o_id FROM orders LEFT JOIN new_order ON no_w_id = o_w_id AND no_d_id = o_d_id "
    "AND no_o_id = o_id WHERE (o_carrier_id IS NULL AND no_o_id IS NULL) "
    "OR (o_carrier_id IS NOT NULL AND no_o_id IS NOT NULL)",
    "3.3.2.6": "SELECT o_w_id, o_d_id, o_id FROM orders WHERE o_ol_cnt <> (SELECT count(*) FROM order_line "
    "WHERE ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id)",
    "3.3.2.7": "SELECT ol_w_id, ol_d_id, ol_o_id FROM order_line JOIN orders ON o_w_id = ol_w_id AND o_d_id = ol_d_id "
    "AND o_id = ol_o_id WHERE (ol_delivery_d IS NULL AND o_carrier_id IS NOT NULL) "
    "OR (ol_delivery_d IS NOT NULL AND o_carrier_id IS NULL)",
    "3.3.2.8": "SELECT w_id FROM warehouse WHERE w_ytd <> (SELECT sum(h_amount) FROM history WHERE h_w_id = w_id)",
    "3.3.2.9": "SELECT d_w_id, d_id FROM district WHERE d_ytd <> "
    "(SELECT sum(h_amount) FROM history WHERE h_w_id = d_w_id AND h_d_id = d_id)",
}


async def inconsistencies(client: Client) -> list[str]:
    """Returns the consistency conditions that do not hold. 10 to 12 are summed here, for they need it by customer."""
    found = [name for name, sql in CONDITIONS.items() if await client.query(sql)]
    delivered: Counter[Any] = Counter()
    sql = (
        "SELECT o_w_id, o_d_id, o_c_id, sum(ol_amount) FROM orders JOIN order_line ON ol_w_id = o_w_id "
        "AND ol_d_id = o_d_id AND ol_o_id = o_id WHERE ol_delivery_d IS NOT NULL GROUP BY o_w_id, o_d_id, o_c_id"
    )
    for w, d, c, amount in await client.query(sql):
        delivered[w, d, c] = int(amount)
    paid: Counter[Any] = Counter()
    sql = "SELECT h_c_w_id, h_c_d_id, h_c_id, sum(h_amount) FROM history GROUP BY h_c_w_id, h_c_d_id, h_c_id"
    for w, d, c, amount in await client.query(sql):
        paid[w, d, c] = int(amount)
    deliveries: Counter[Any] = Counter()
    tenth = twelfth = True
    sql = "SELECT c_w_id, c_d_id, c_id, c_balance, c_ytd_payment, c_delivery_cnt FROM customer"
    for w, d, c, balance, payments, count in await client.query(sql):
        tenth &= balance == delivered[w, d, c] - paid[w, d, c]
        twelfth &= balance + payments == delivered[w, d, c]
        deliveries[w, d] += count
    # What was delivered is what was at first, and what deliveries have counted since.
    orders = {(w, d): n for w, d, n in await client.query("SELECT o_w_id, o_d_id, count(*) FROM orders GROUP BY 1, 2")}
    new = {
        (w, d): n for w, d, n in await client.query("SELECT no_w_id, no_d_id, count(*) FROM new_order GROUP BY 1, 2")
    }
    at_first = {orders[key] - new.get(key, 0) - deliveries[key] for key in orders}
    found += [] if tenth else ["3.3.2.10"]
    found += [] if len(at_first) == 1 else ["3.3.2.11"]
    return found + ([] if twelfth else ["3.3.2.12"])
