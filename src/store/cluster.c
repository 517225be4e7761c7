/* SPDX-License-Identifier: ISC */
/*
 * Joining and leaving, and the triggers that divert what is written meanwhile.
 * What the outbox then holds is carried out by src/intent; how it travels is
 * the relay's. Blocks on the disk.
 */
#include "store/cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/mark.h"
#include "store/stmt.h"
#include "text/hex.h"

/* Nobody but who applies the log is let through. */
#define DIVERTED                                                               \
	"WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'applying') BEGIN "

/* The checks of schema.sql: a row that is passed over never meets them. They
 * are told apart by the same names. */
#define REFUSE_JOB_ID                                                          \
	"WHEN NEW.job_id IS NULL OR length(NEW.job_id) NOT BETWEEN 1 AND 128 " \
	"OR ltrim(NEW.job_id, '0123456789abcdefghijklmnopqrstuvwxyz"           \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:~') <> '' "                             \
	"THEN RAISE(ABORT, 'CHECK constraint failed: job_id_format') "
/* Not in the tables' checks: but a text of ours ends at a NUL. */
#define REFUSE_NUL(column)                                                     \
	"WHEN instr(NEW." column ", char(0)) THEN RAISE(ABORT, "               \
	"'CHECK constraint failed: NUL in " column "') "

/* As SQL is read, which the formatter takes for a list of calls. */
/* clang-format off */
static const char triggers[] =
	"CREATE TRIGGER cluster_event BEFORE INSERT ON job_events "
	DIVERTED
	"SELECT CASE "
	REFUSE_JOB_ID
	"WHEN NEW.type IS NULL OR length(NEW.type) > 64 "
	"OR NEW.type NOT GLOB '[a-z]*' "
	"OR ltrim(NEW.type, 'abcdefghijklmnopqrstuvwxyz_0123456789.-') <> '' "
	"THEN RAISE(ABORT, 'CHECK constraint failed: event_type_format') "
	"WHEN NOT (NEW.data IS NULL OR CASE WHEN json_valid(NEW.data) "
	"THEN json_type(NEW.data) = 'object' "
	"AND instr(NEW.data, char(0)) = 0 "
	"AND length(CAST(NEW.data AS BLOB)) <= 33554432 ELSE 0 END) "
	"THEN RAISE(ABORT, 'CHECK constraint failed: data_is_json_object') "
	"WHEN NEW.created_at IS NULL THEN RAISE(ABORT, "
	"'NOT NULL constraint failed: job_events.created_at') "
	"WHEN NEW.status IS NULL THEN RAISE(ABORT, "
	"'NOT NULL constraint failed: job_events.status') "
	REFUSE_NUL("source")
	REFUSE_NUL("delivery_key")
	REFUSE_NUL("restore_id")
	REFUSE_NUL("created_at")
	"END;"
	"INSERT INTO outbox (kind, payload) VALUES ('event', json_object("
	"'job_id', NEW.job_id, 'type', NEW.type, 'data', NEW.data, "
	"'source', NEW.source, 'delivery_key', NEW.delivery_key, "
	"'restore_id', NEW.restore_id, 'created_at', nullif(NEW.created_at, "
	"strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))));"
	"SELECT RAISE(IGNORE); END;"

	/* What a program may say of a job before its first event. */
	"CREATE TRIGGER cluster_job BEFORE INSERT ON jobs "
	DIVERTED
	"SELECT CASE "
	REFUSE_JOB_ID
	REFUSE_NUL("owner")
	REFUSE_NUL("external_id")
	REFUSE_NUL("restore_id")
	"WHEN NEW.state IS NOT 'queued' OR NEW.floor IS NOT 0 "
	"OR NEW.output IS NOT NULL OR NEW.error IS NOT NULL "
	"THEN RAISE(ABORT, "
	"'in a cluster a job is inserted with its names only') END;"
	"INSERT INTO outbox (kind, payload) VALUES ('registration', "
	"json_object('job_id', NEW.job_id, 'owner', NEW.owner, "
	"'external_id', NEW.external_id, 'restore_id', NEW.restore_id));"
	"SELECT RAISE(IGNORE); END;"

	"CREATE TRIGGER cluster_deletion BEFORE DELETE ON jobs "
	DIVERTED
	"INSERT INTO outbox (kind, payload) "
	"VALUES ('deletion', json_object('job_id', OLD.job_id));"
	"SELECT RAISE(IGNORE); END;";
/* clang-format on */

static const char no_triggers[] = "DROP TRIGGER IF EXISTS cluster_event;"
				  "DROP TRIGGER IF EXISTS cluster_job;"
				  "DROP TRIGGER IF EXISTS cluster_deletion;";

static enum err
set_meta(struct db *db, const char *key, const char *value)
{
	sqlite3_stmt *st =
	    stmt_open(db, value != NULL ? STMT_SET_META : STMT_DROP_META);

	stmt_bind_text(db, st, 1, key);
	if (value != NULL)
		stmt_bind_text(db, st, 2, value);
	return stmt_run(db, st);
}

static enum err
exec(struct db *db, const char *sql)
{
	int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

bool
cluster_node_ok(const char *node_id)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = strspn(node_id, letters);

	return n > 0 && n <= DB_NODE_MAX && node_id[n] == '\0';
}

static bool
is_epoch(const char *text)
{
	return strspn(text, "0123456789abcdef") == DB_EPOCH_SIZE - 1 &&
	       text[DB_EPOCH_SIZE - 1] == '\0';
}

/* node_id NULL: it is no node's. */
static enum err
set_names(struct db *db, const char *node_id, const char *epoch)
{
	unsigned char random[(DB_EPOCH_SIZE - 1) / 2];
	char text[DB_EPOCH_SIZE];
	enum err e;

	random_bytes(random, sizeof(random));
	hex_write(text, random, sizeof(random));
	if (epoch != NULL)
		snprintf(text, sizeof(text), "%s", epoch);
	e = set_meta(db, "epoch", text);
	if (e == OK)
		e = set_meta(db, "cluster", node_id);
	if (e != OK)
		return e;
	snprintf(db->epoch, sizeof(db->epoch), "%s", text);
	snprintf(db->node_id, sizeof(db->node_id), "%s",
	    node_id != NULL ? node_id : "");
	db->has_new_names = true;
	return mark_replace(db, db->path);
}

enum err
cluster_join(struct db *db, const char *node_id, const char *epoch)
{
	enum err e;

	if (!cluster_node_ok(node_id) || (epoch != NULL && !is_epoch(epoch)))
		return ERR_PROTO;
	e = exec(db, no_triggers);
	if (e == OK)
		e = exec(db, triggers);
	return e == OK ? set_names(db, node_id, epoch) : e;
}

static enum err
adopt_runs(struct db *db)
{
	sqlite3_stmt *st = stmt_open(db, STMT_ADOPT_RUNS);

	stmt_bind_text(db, st, 1, db->node_id);
	return stmt_run(db, st);
}

enum err
cluster_leave(struct db *db)
{
	bool is_open = false;
	enum err e =
	    stmt_run_bool(db, stmt_open(db, STMT_OUTBOX_OPEN), &is_open);

	if (e == OK && is_open)
		e = ERR_EXISTS;
	if (e == OK)
		e = exec(db, no_triggers);
	/* Its runs go on; those of others are theirs. */
	if (e == OK)
		e = adopt_runs(db);
	return e == OK ? set_names(db, NULL, NULL) : e;
}

enum err
cluster_apply_begin(struct db *db)
{
	return set_meta(db, "applying", "1");
}

void
cluster_apply_entry(struct db *db, const char *origin, int64_t origin_seq)
{
	db->entry_origin = origin;
	db->entry_seq = origin_seq;
}

enum err
cluster_apply_end(struct db *db)
{
	cluster_apply_entry(db, NULL, 0);
	return set_meta(db, "applying", NULL);
}

const char *
cluster_entry_origin(const struct db *db)
{
	return db->entry_origin;
}

int64_t
cluster_entry_seq(const struct db *db)
{
	return db->entry_seq;
}
