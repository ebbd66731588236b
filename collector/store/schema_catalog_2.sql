-- Tables of nftables: the handles of their rules, chain by chain, as they stood; a table that was loaded again has others under the
-- same text. since and since_min are when this text first stood, whatever its handles.
ALTER TABLE table_history ADD COLUMN handles BLOB;	-- content.id; NULL: none
ALTER TABLE table_history ADD COLUMN since INTEGER;	-- NULL: "from"
ALTER TABLE table_history ADD COLUMN since_min INTEGER;	-- NULL: from_min
