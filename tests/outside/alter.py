"""Flips the last bit of a record in a log's database: alter.py DATABASE SEQ"""

import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
(data,) = database.execute("SELECT bytes FROM records WHERE seq = ?", (sys.argv[2],)).fetchone()
data = data[:-1] + bytes([data[-1] ^ 1])
database.execute("UPDATE records SET bytes = ? WHERE seq = ?", (data, sys.argv[2]))
database.commit()
