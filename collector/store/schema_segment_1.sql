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
-- Once it is sealed: fingerprints, flows and addresses (keys.h) and the journeys that have them, in order, some hundred in a row:
-- each entry is 8 bytes of a key and 4 of a journey's id, big-endian; k is the first key. A key is never parted.
CREATE TABLE key(k INTEGER PRIMARY KEY, entries BLOB NOT NULL);
CREATE TABLE mark(agent INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL);
