-- When an entry was last told of. Whoever was away when it ended knows only that it is not in a later reading of the whole table:
-- then it ended between told and until. 0: not known, "from" counts.
ALTER TABLE conn ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
-- Those that live, host by host: few, whatever the history.
CREATE INDEX conn_open ON conn(host) WHERE until=0;
