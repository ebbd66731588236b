-- How full connection tracking was, and what went wrong in it: the whole record as a packed Batch (proto/lasthop.proto).
CREATE TABLE stats(host INTEGER NOT NULL, t INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(host, t)) WITHOUT ROWID;
