/*
 * All SQL of the store, named. No statement is ever put together at run time.
 */
#pragma once

#define STORE_STMTS(X)												\
	X(begin, "BEGIN IMMEDIATE") X(begin_reading, "BEGIN") X(commit, "COMMIT") X(rollback, "ROLLBACK")					\
	X(get_agent, "SELECT id, instance, epoch, last_seen FROM agent WHERE name=?1")				\
	X(put_agent, "INSERT INTO agent(name, instance, epoch, last_seen) VALUES(?1, ?2, ?3, ?4)"		\
	  " ON CONFLICT(name) DO UPDATE SET instance=?2, epoch=?3, last_seen=?4")				\
	X(get_host, "SELECT id FROM host WHERE name=?1")							\
	X(put_host, "INSERT INTO host(name, agent, first_seen, last_seen, retired) VALUES(?1, ?2, ?3, ?3, ?4)"	\
	  " ON CONFLICT(name) DO UPDATE SET agent=?2, last_seen=iif(?4, last_seen, ?3), retired=?4")		\
	X(end_host, "UPDATE host SET retired=1, last_seen=max(last_seen, ?2) WHERE id=?1")				\
	X(begin_host, "UPDATE host SET retired=0 WHERE id=?1 AND retired=1")					\
	X(end_tables, "UPDATE table_history SET until=max(\"from\", ?2), last=max(last, CASE WHEN backend=3 THEN 0 ELSE"	\
	  " (SELECT min(checked, ?2) FROM host WHERE id=?1) END) WHERE host=?1 AND until=0")			\
	X(end_conns, "UPDATE conn INDEXED BY conn_open SET until=max(\"from\", ?2), told=max(\"from\", ?2) WHERE host=?1 AND until=0")			\
	X(end_untold_conns, "UPDATE conn INDEXED BY conn_open SET until=max(\"from\", ?2) WHERE host=?1 AND until=0 AND max(told, \"from\")<?3")		\
	X(check_host, "UPDATE host SET checked=max(checked, ?2) WHERE id=?1")					\
	X(get_hosts, "SELECT id, agent, name, first_seen, last_seen, retired, checked FROM host ORDER BY name")	\
	X(get_marks, "SELECT agent, epoch, seq FROM mark")							\
	X(get_mark, "SELECT epoch, seq FROM mark WHERE agent=?1")						\
	X(put_mark, "INSERT INTO mark(agent, epoch, seq) VALUES(?1, ?2, ?3)"					\
	  " ON CONFLICT(agent) DO UPDATE SET epoch=?2, seq=?3")						\
	X(has_content, "SELECT 1 FROM content WHERE id=?1")							\
	X(put_content, "INSERT OR IGNORE INTO content(id, text) VALUES(?1, ?2)")				\
	X(get_content, "SELECT text FROM content WHERE id=?1")							\
	X(get_table, "SELECT id, content, last, torn, handles, coalesce(since, \"from\"), coalesce(since_min, from_min) FROM table_history"					\
	  " WHERE host=?1 AND backend=?2 AND family=?3 AND name=?4 AND until=0")				\
	X(put_table, "INSERT INTO table_history(host, backend, family, name, content, from_min, \"from\", last, until, torn,"	\
	  " handles, since, since_min, body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, ?8, ?9, ?10, ?11, ?12)")							\
	X(extend_table, "UPDATE table_history SET last=max(last, ?2) WHERE id=?1")				\
	X(close_table, "UPDATE table_history SET until=?2, last=max(last, ?3) WHERE id=?1")			\
	X(get_tables, "SELECT t.host, backend, family, t.name, content, from_min, \"from\", last, until, torn, checked, handles,"	\
	  " coalesce(since, \"from\"), coalesce(since_min, from_min), body"	\
	  " FROM table_history t JOIN host h ON h.id=t.host"							\
	  " WHERE (?1=0 OR t.host=?1) AND \"from\"<=?3 AND (until=0 OR until>=?2) ORDER BY \"from\"")		\
	X(put_facts, "INSERT OR REPLACE INTO facts(host, t, body) VALUES(?1, ?2, ?3)")				\
	X(get_facts, "SELECT body FROM facts WHERE host=?1 AND t<=?2 ORDER BY t DESC LIMIT 1")			\
	X(get_facts_span, "SELECT (SELECT max(t) FROM facts WHERE host=?1 AND t<=?2), (SELECT min(t) FROM facts WHERE host=?1 AND t>?2)")	\
	X(get_first_facts, "SELECT body FROM facts WHERE host=?1 ORDER BY t LIMIT 1")				\
	X(put_stats, "INSERT OR REPLACE INTO stats(host, t, body) VALUES(?1, ?2, ?3)")				\
	X(get_stats, "SELECT body FROM stats WHERE host=?1 ORDER BY t DESC LIMIT 1")				\
	X(get_stats_at, "SELECT body FROM stats WHERE host=?1 AND t<=max(?2,(SELECT min(t) FROM stats WHERE host=?1)) ORDER BY t DESC LIMIT 1")			\
	X(put_source, "INSERT OR REPLACE INTO source(host, body) VALUES(?1, ?2)")				\
	X(get_source, "SELECT body FROM source WHERE host=?1")							\
	X(put_loss, "INSERT INTO loss(host, \"from\", until, source, count) VALUES(?1, ?2, ?3, ?4, ?5)")	\
	X(put_loss_of_all, "INSERT INTO loss(host, \"from\", until, source, count) SELECT id, ?1, ?2, 'store', NULL FROM host")	\
	X(get_losses, "SELECT host, \"from\", until, source, count FROM loss WHERE until>=?1 AND \"from\"<=?2 ORDER BY \"from\"")	\
	X(put_lease, "INSERT OR REPLACE INTO lease(id, \"from\", until, flow, by, rate, ended) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")	\
	X(get_leases, "SELECT id, \"from\", until, flow, by, rate, ended FROM lease WHERE until>=?1 ORDER BY \"from\"")	\
	X(get_arming, "SELECT id, modulus, body FROM arming WHERE host=?1 AND lease=?2 AND until=0")		\
	X(put_arming, "INSERT INTO arming(lease, host, \"from\", until, modulus, traced, refused, body)"	\
	  " VALUES(?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)")								\
	X(count_arming, "UPDATE arming SET traced=?2, refused=?3 WHERE id=?1")					\
	X(close_arming, "UPDATE arming SET until=?2 WHERE id=?1")						\
	X(close_armings, "UPDATE arming SET until=max(\"from\", ?2) WHERE host=?1 AND until=0")		\
	X(get_armings, "SELECT lease, host, \"from\", until, modulus, traced, refused, body FROM arming"	\
	  " WHERE \"from\"<=?2 AND (until=0 OR until>=?1) ORDER BY \"from\"")					\
	X(get_conn, "SELECT id, body FROM conn WHERE host=?1 AND ct=?2 AND +until=0")				\
	X(put_conn, "INSERT INTO conn(host, ct, \"from\", until, told, body) VALUES(?1, ?2, ?3, 0, ?3, ?4)")		\
	X(refresh_conn, "UPDATE conn SET body=?2, told=?3 WHERE id=?1")							\
	X(close_conn, "UPDATE conn SET until=?2, told=?2 WHERE id=?1")							\
	X(put_conn_key, "INSERT OR IGNORE INTO conn_key(k, conn) VALUES(?1, ?2)")				\
	X(find_conns, "SELECT DISTINCT c.id, c.host, c.\"from\", c.until, c.body, c.told FROM conn_key JOIN conn c ON c.id=conn"	\
	  " WHERE k BETWEEN ?1 AND ?2 AND c.\"from\"<=?4 AND (c.until=0 OR c.until>=?3) ORDER BY c.\"from\" DESC LIMIT ?5")	\
	X(all_conns, "SELECT id, host, \"from\", until, body, told FROM conn"					\
	  " WHERE \"from\"<=?4 AND (until=0 OR until>=?3) AND ?1=?1 AND ?2=?2 ORDER BY id DESC LIMIT ?5")	\
	X(expire_conns, "DELETE FROM conn WHERE until>0 AND until<?1")						\
	X(expire_conn_keys, "DELETE FROM conn_key WHERE conn IN (SELECT id FROM conn WHERE until>0 AND until<?1)")	\
	X(expire_losses, "DELETE FROM loss WHERE until<?1")							\
	X(expire_facts, "DELETE FROM facts WHERE t<?1 AND t<(SELECT max(t) FROM facts f WHERE f.host=facts.host)")	\
	X(expire_stats, "DELETE FROM stats WHERE t<?1 AND t<(SELECT max(t) FROM stats f WHERE f.host=stats.host)")								\
	X(put_segment, "INSERT OR REPLACE INTO segment(no, state, created, t_min, t_max) VALUES(?1, ?2, ?3, ?4, ?5)")	\
	X(drop_segment, "DELETE FROM segment WHERE no=?1")							\
	X(get_segments, "SELECT no, state, created, t_min, t_max FROM segment ORDER BY no")			\
	X(put_journey, "INSERT INTO journey(id, host, t, fp, src, dst, sport, dport, proto, offset, error, body)"	\
	  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")					\
	X(last_journey, "SELECT coalesce(max(id), 0), coalesce(min(t), 0), coalesce(max(t), 0) FROM journey")	\
	X(get_journey, "SELECT host, t, offset, error, body FROM journey WHERE id=?1")				\
	X(scan_journeys, "SELECT id, host, t, offset, error, body FROM journey WHERE id>?1 ORDER BY id")	\
	X(scan_back, "SELECT id, host, t, offset, error, body FROM journey WHERE id>?1 AND t BETWEEN ?2 AND ?3 ORDER BY id DESC LIMIT ?4")	\
	X(put_key, "INSERT INTO key(k, entries) VALUES(?1, ?2)")						\
	X(clear_keys, "DELETE FROM key")									\
	X(find_keys, "SELECT entries FROM key WHERE k BETWEEN"						\
	  " coalesce((SELECT max(k) FROM key WHERE k<=?1), ?1) AND ?2")						\
	X(put_counter, "INSERT INTO counter(host, \"from\", t, offset, error, body) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")	\
	X(last_counter, "SELECT count(*), coalesce(min(\"from\"), 0), coalesce(max(t), 0) FROM counter")		\
	X(get_counters, "SELECT \"from\", t, offset, error, body FROM counter"					\
	  " WHERE host=?1 AND t>=?2 AND \"from\"<=?3 ORDER BY t, id")

enum stmt_id {
#define X(name, sql) STMT_##name,
	STORE_STMTS(X)
#undef X
	STMT_COUNT
};
