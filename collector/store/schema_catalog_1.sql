-- catalog.db: what is small and lives long. Times are nanoseconds since 1970 UTC. Unsigned 64-bit numbers are stored as the
-- signed number with the same bits.
CREATE TABLE agent(
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,	-- --id
	instance BLOB NOT NULL,		-- 16 random bytes of its state directory
	epoch INTEGER NOT NULL,		-- of its last Hello
	last_seen INTEGER NOT NULL
);
CREATE TABLE host(
	id INTEGER PRIMARY KEY,		-- the number in every `host` column
	name TEXT NOT NULL UNIQUE,
	agent INTEGER NOT NULL,
	first_seen INTEGER NOT NULL,
	last_seen INTEGER NOT NULL,
	retired INTEGER NOT NULL DEFAULT 0,
	checked INTEGER NOT NULL DEFAULT 0	-- when all its tables were last read and stood as reported
);
-- The last batch of each agent whose catalog records are in this file: a redelivered one is not applied again.
CREATE TABLE mark(agent INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE content(id BLOB PRIMARY KEY, text TEXT NOT NULL);	-- tables' texts under their SHA-256
CREATE TABLE table_history(
	id INTEGER PRIMARY KEY,
	host INTEGER NOT NULL,
	backend INTEGER NOT NULL,	-- 0 legacy, 1 nft, 2 native, 3 ipset: a set that rules name
	family INTEGER NOT NULL,	-- 1 ipv4, 2 ipv6, 3 inet, 4 arp, 5 bridge, 6 netdev
	name TEXT NOT NULL,
	content BLOB,			-- content.id; NULL: the table was absent
	from_min INTEGER NOT NULL,	-- last read that showed something else; 0: it stood before the first read
	"from" INTEGER NOT NULL,	-- first read that showed this
	last INTEGER NOT NULL,		-- last report of it; host.checked may be later
	until INTEGER NOT NULL,		-- first read that showed something else; 0: in force
	torn INTEGER NOT NULL
);
CREATE INDEX table_of_host ON table_history(host, until);
-- Interfaces, addresses and routes: a whole picture each time, as a packed Batch of one record (proto/lasthop.proto).
CREATE TABLE facts(host INTEGER NOT NULL, t INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(host, t)) WITHOUT ROWID;
CREATE TABLE source(host INTEGER PRIMARY KEY, body BLOB NOT NULL);	-- the newest list, packed likewise
CREATE TABLE loss(
	id INTEGER PRIMARY KEY,
	host INTEGER NOT NULL,
	"from" INTEGER NOT NULL,
	until INTEGER NOT NULL,
	source TEXT NOT NULL,
	count INTEGER			-- NULL: unknown
);
CREATE INDEX loss_until ON loss(until);
CREATE TABLE lease(id INTEGER PRIMARY KEY, "from" INTEGER NOT NULL, until INTEGER NOT NULL, flow TEXT NOT NULL, by TEXT NOT NULL,
	rate INTEGER NOT NULL, ended INTEGER NOT NULL);
CREATE TABLE arming(
	id INTEGER PRIMARY KEY,
	lease INTEGER NOT NULL,
	host INTEGER NOT NULL,
	"from" INTEGER NOT NULL,
	until INTEGER NOT NULL,		-- 0: still in force
	modulus INTEGER NOT NULL,
	traced INTEGER NOT NULL,
	refused INTEGER NOT NULL,
	body BLOB NOT NULL		-- the lease record with its patterns, packed likewise
);
CREATE INDEX arming_until ON arming(until);
-- Connection-tracking entries, by their tuples' keys (keys.h).
CREATE TABLE conn(
	id INTEGER PRIMARY KEY,
	host INTEGER NOT NULL,
	ct INTEGER NOT NULL,		-- the kernel's id
	"from" INTEGER NOT NULL,
	until INTEGER NOT NULL,		-- 0: not seen to end
	body BLOB NOT NULL
);
CREATE INDEX conn_ct ON conn(host, ct);
CREATE INDEX conn_until ON conn(until);
CREATE TABLE conn_key(k INTEGER NOT NULL, conn INTEGER NOT NULL, PRIMARY KEY(k, conn)) WITHOUT ROWID;
-- The files under segments/: open, full (not indexed yet), sealed.
CREATE TABLE segment(no INTEGER PRIMARY KEY, state TEXT NOT NULL, created INTEGER NOT NULL, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL);
