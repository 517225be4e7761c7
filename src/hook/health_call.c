/* SPDX-License-Identifier: ISC */
/*
 * GET /webhooks/healthz: can the database be written? Only a process per
 * request blocks on the disk for it.
 */
#include "hook/routes.h"

static enum err
write_rows(struct call *c, struct db *db)
{
	(void)c;
	return db_probe(db);
}

static void
conclude(struct call *c)
{
	enum err e = c->commit.result;
	const char *cluster = c->cfg->cluster(c->cfg->arg);

	c->outcome = CALL_LOOKED;
	answer_json(&c->answer, e == OK ? 200 : 503);
	buf_addf(&c->answer.body, "{\"status\":\"%s\",\"database\":\"%s\"",
	    e == OK ? "ok" : "failing", e == OK ? "ok" : err_text(e));
	/* Not well, and yet nothing is lost: writes are taken, and wait. */
	if (cluster != NULL)
		buf_addf(&c->answer.body, ",\"cluster\":\"%s\"", cluster);
	buf_add_str(&c->answer.body, "}\n");
}

/* At once, as far as it is known. */
static bool
prepare(struct call *c)
{
	if (c->cfg->look == NULL)
		return true;
	c->commit.result = c->cfg->look(c->cfg->arg);
	conclude(c);
	return false;
}

const struct call_handler health_call = {
    .prepare = prepare,
    .write = write_rows,
    .conclude = conclude,
};
