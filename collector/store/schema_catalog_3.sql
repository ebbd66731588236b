-- Who changed a table to what a row says: the whole record, with its authors, as a packed Batch (proto/lasthop.proto); NULL: not known.
ALTER TABLE table_history ADD COLUMN body BLOB;
