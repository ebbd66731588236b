-- segments/NNNNNN.db: journeys in the order in which they arrived. Times are nanoseconds since 1970 UTC.
CREATE TABLE journey(
	id INTEGER PRIMARY KEY,
	host INTEGER NOT NULL,		-- catalog's host.id
	t INTEGER NOT NULL,		-- of its first step
	fp INTEGER NOT NULL,		-- 0: none could be made
	src BLOB NOT NULL,		-- 4 or 16 bytes: as the packet came
	dst BLOB NOT NULL,
	sport INTEGER NOT NULL,
	dport INTEGER NOT NULL,
	proto INTEGER NOT NULL,
	offset INTEGER NOT NULL,	-- wall - boot that was applied, and its error
	error INTEGER NOT NULL,
	body BLOB NOT NULL		-- the whole journey: a packed Batch of one record (proto/lasthop.proto)
);
-- Once it is sealed: fingerprints, flows and addresses (keys.h) to journeys. rows: their ids, ascending, 4 bytes each, big-endian.
CREATE TABLE key(k INTEGER PRIMARY KEY, rows BLOB NOT NULL);
CREATE TABLE mark(agent INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL);
