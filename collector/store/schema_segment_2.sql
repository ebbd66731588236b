-- What the rules of a table counted between two reads (proto/lasthop.proto: Counters), one row for a table that was read
-- and had moved, or once a minute.
CREATE TABLE counter(
	id INTEGER PRIMARY KEY,
	host INTEGER NOT NULL,		-- catalog's host.id
	"from" INTEGER NOT NULL,	-- reads from here on ...
	t INTEGER NOT NULL,		-- ... to here are told
	offset INTEGER NOT NULL,	-- wall - boot that was applied, and its error
	error INTEGER NOT NULL,
	body BLOB NOT NULL		-- a packed Batch of one record
);
CREATE INDEX counter_of_host ON counter(host, t, "from");
