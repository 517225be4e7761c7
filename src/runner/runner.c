/* SPDX-License-Identifier: ISC */
/*
 * The turns of a runner. In each, one transaction stores what has been answered
 * and marks what is due as being sent; only when that is on the disk do the
 * requests leave. So a crash never leaves a request that no row tells of, and
 * while the database is locked or full nothing is sent and no answer is lost.
 */
#include "runner/runner.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "runner/rate.h"
#include "store/db.h"
#include "store/leader.h"
#include "store/mark.h"
#include "store/run_queue.h"
#include "store/runs.h"

enum {
	AGAIN_MS = 200,	       /* after trouble with the database */
	ANSWER_MAX = 32 << 20, /* bytes; outputs are 20 MB at the most */
	LOCK_POLL_MS = 1000,   /* for the end of another runner */
	REFUSED_MS = 60000,    /* after the database refused an event */
	IDLE_MAX_MS = 60000,   /* then the clock may have been set */
	BATCH_MAX = 256,       /* calls of a turn */
};

enum task_state {
	TASK_READY, /* to be sent; its row says so */
	TASK_SENT,
	TASK_ANSWERED, /* to be stored */
	TASK_REFUSED,  /* the database refuses what it makes: once more */
};

struct task {
	STAILQ_ENTRY(task) link;
	struct runner *runner;
	enum task_state state;
	struct work work;
	struct http_answer answer;
	char epoch[DB_EPOCH_SIZE]; /* whose run it is */
	bool was_refused;	   /* and that was logged */
};

STAILQ_HEAD(task_list, task);

struct runner {
	struct runner_config cfg;
	struct work_keys keys;
	struct loop *loop;
	struct http_client *client;
	struct watch *watch;
	struct leader leader;
	struct timer timer;
	struct deferred turn;
	struct task_list tasks;
	struct task_list fresh; /* of the transaction that is open */
	int64_t n_tasks;	/* of both */
	struct rate rate;
	enum err state; /* of the database, as it was logged */
	bool is_stopping;
};

/* Off the list's front; NULL: it is empty. */
static struct task *
task_take(struct task_list *list)
{
	struct task *t = STAILQ_FIRST(list);

	if (t != NULL)
		STAILQ_REMOVE_HEAD(list, link);
	return t;
}

/* One that is in no list. */
static void
task_free(struct task **task)
{
	struct task *t = *task;

	t->runner->n_tasks--;
	work_done(&t->work);
	http_answer_done(&t->answer);
	free(t);
	*task = NULL;
}

/* NULL without memory. */
static struct task *
task_new(struct runner *r)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->runner = r;
	STAILQ_INSERT_TAIL(&r->fresh, t, link);
	r->n_tasks++;
	return t;
}

/* Of one that was replaced the runs are others. */
static bool
is_of_this_database(const struct runner *r, const struct task *t)
{
	return memcmp(t->epoch, db_epoch(r->leader.db), DB_EPOCH_SIZE) == 0;
}

static bool
is_under_way(const struct runner *r, int64_t run_id)
{
	const struct task *t;

	STAILQ_FOREACH(t, &r->tasks, link)
		if (t->work.run_id == run_id && is_of_this_database(r, t))
			return true;
	return false;
}

/* --- Calls ---------------------------------------------------------------- */

static void
on_answer(void *arg, struct http_answer *a)
{
	struct task *t = arg;

	t->answer = *a;
	t->state = TASK_ANSWERED;
	loop_defer(t->runner->loop, &t->runner->turn);
}

/* What cannot be sent has not arrived. */
static void
send_task(struct runner *r, struct task *t)
{
	enum err e = http_client_send(r->client, &t->work.request,
	    r->keys.provider.keys[0], on_answer, t);
	struct http_answer none = {.retry_ms = -1};

	t->state = TASK_SENT;
	if (e != OK)
		on_answer(t, &none);
}

static void
send_ready(struct runner *r)
{
	int64_t now_us = clock_mono_us();
	struct task *t;

	STAILQ_FOREACH(t, &r->tasks, link) {
		if (t->state != TASK_READY)
			continue;
		/* Of a submission its row says that it leaves now. */
		if (t->work.call != STEP_SUBMIT &&
		    rate_next_us(&r->rate) > now_us)
			continue;
		rate_take(&r->rate, now_us);
		send_task(r, t);
	}
}

/* --- A transaction -------------------------------------------------------- */

struct due {
	struct runner *runner;
	int64_t run_ids[BATCH_MAX];
	int n, max;
};

static void
note_due(void *arg, const struct run *run)
{
	struct due *due = arg;

	if (due->n < due->max && !is_under_way(due->runner, run->run_id))
		due->run_ids[due->n++] = run->run_id;
}

/* As many as there is room and rate for. */
static enum err
find_due(struct runner *r, struct due *ret)
{
	int64_t rate = rate_room(&r->rate, clock_mono_us());
	int64_t room = r->cfg.parallel - r->n_tasks;

	ret->runner = r;
	ret->n = 0;
	ret->max = (int)(room < rate ? room : rate);
	if (ret->max > BATCH_MAX)
		ret->max = BATCH_MAX;
	if (r->is_stopping || ret->max <= 0)
		return OK;
	return run_queue_due(r->leader.db, clock_real_ms(),
	    (int)r->n_tasks + ret->max, note_due, ret);
}

/* The next call for a run, which has a task only where there is one. */
static enum err
add_task(struct runner *r, struct work *work)
{
	struct task *t;

	if (work->call == STEP_NOTHING) {
		work_done(work);
		return OK;
	}
	t = task_new(r);
	if (t == NULL) {
		work_done(work);
		return ERR_NOMEM;
	}
	t->work = *work;
	memcpy(t->epoch, db_epoch(r->leader.db), DB_EPOCH_SIZE);
	return OK;
}

static void
log_refusal(const struct runner *r, int64_t run_id)
{
	log_error("run_refused", "run_id", LOG_INT(run_id), "detail",
	    db_last_fault(r->leader.db)->text);
}

/* The database refuses the event that a due run makes. */
static enum err
postpone(struct runner *r, int64_t run_id)
{
	struct run run = {0};
	enum err e;

	log_refusal(r, run_id);
	e = runs_get(r->leader.db, run_id, &run);
	run.next_at = clock_real_ms() + REFUSED_MS;
	if (e == OK)
		e = run_save(r->leader.db, &run);
	run_done(&run);
	return e;
}

/* What is refused of one run stops no other. */
static enum err
begin_run(struct runner *r, int64_t run_id)
{
	struct work work = {0};
	bool goes_on;
	enum err e = db_part_begin(r->leader.db);

	if (e != OK)
		return e;
	e = work_begin(r->leader.db, &r->cfg.work, &r->keys, run_id,
	    clock_real_ms(), &work);
	e = db_part_end(r->leader.db, e == ERR_NOENT ? OK : e, &goes_on);
	if (e == OK)
		return add_task(r, &work);
	work_done(&work);
	return goes_on ? postpone(r, run_id) : e;
}

static enum err
begin_due(struct runner *r, const struct due *due)
{
	enum err e = OK;

	for (int i = 0; i < due->n && e == OK; i++)
		e = begin_run(r, due->run_ids[i]);
	return e;
}

/* As begin_run(). The next turn takes it for an answer that nobody can read;
 * but what a submission was answered is worth waiting for. */
static void
refuse_answer(struct runner *r, struct task *t)
{
	if (!t->was_refused)
		log_refusal(r, t->work.run_id);
	t->was_refused = true;
	t->state = TASK_REFUSED;
	if (t->work.call == STEP_SUBMIT)
		return;
	http_answer_done(&t->answer);
	t->answer.status = 0;
}

static enum err
store_answer(struct runner *r, struct task *t)
{
	struct work next = {0};
	bool goes_on;
	enum err e;

	if (!is_of_this_database(r, t))
		return OK;
	if ((e = db_part_begin(r->leader.db)) != OK)
		return e;
	e = work_end(r->leader.db, &r->cfg.work, &r->keys, &t->work, &t->answer,
	    clock_real_ms(), &next);
	e = db_part_end(r->leader.db, e, &goes_on);
	if (e == OK)
		return add_task(r, &next);
	work_done(&next);
	if (!goes_on)
		return e;
	refuse_answer(r, t);
	return OK;
}

static enum err
store_answers(struct runner *r)
{
	struct task *t;
	enum err e = OK;

	STAILQ_FOREACH(t, &r->tasks, link)
		if (e == OK && t->state == TASK_ANSWERED)
			e = store_answer(r, t);
	return e;
}

/* After the transaction: what was answered is done with, if it was not refused,
 * and what it began is begun. Or nothing has happened. */
static void
settle(struct runner *r, bool is_committed)
{
	struct task_list before = STAILQ_HEAD_INITIALIZER(before);
	struct task *t;

	STAILQ_CONCAT(&before, &r->tasks);
	while ((t = task_take(&before)) != NULL) {
		if (is_committed && t->state == TASK_ANSWERED) {
			task_free(&t);
			continue;
		}
		if (t->state == TASK_REFUSED)
			t->state = TASK_ANSWERED;
		STAILQ_INSERT_TAIL(&r->tasks, t, link);
	}
	while ((t = task_take(&r->fresh)) != NULL)
		if (is_committed)
			STAILQ_INSERT_TAIL(&r->tasks, t, link);
		else
			task_free(&t);
}

static bool
has_answers(const struct runner *r)
{
	const struct task *t;

	STAILQ_FOREACH(t, &r->tasks, link)
		if (t->state == TASK_ANSWERED)
			return true;
	return false;
}

static enum err
transact(struct runner *r)
{
	int64_t now_ms = clock_real_ms();
	int64_t horizon_ms = now_ms + step_horizon(&r->cfg.work.rules);
	bool is_far = false;
	struct due due;
	enum err e = find_due(r, &due);

	if (e == OK)
		e = run_queue_is_far(r->leader.db, horizon_ms, &is_far);
	if (e != OK || (due.n == 0 && !is_far && !has_answers(r)))
		return e;
	if ((e = db_begin(r->leader.db)) != OK)
		return e;
	if (is_far)
		e = run_queue_pull(r->leader.db, now_ms, horizon_ms);
	if (e == OK)
		e = store_answers(r);
	if (e == OK)
		e = begin_due(r, &due);
	e = mark_end(r->leader.db, e);
	settle(r, e == OK);
	return e;
}

/* --- Trouble -------------------------------------------------------------- */

/* Of trouble its beginning is logged, other trouble, and its end. */
static void
note_state(struct runner *r, enum err e, const struct db_fault *fault)
{
	if (e == r->state)
		return;
	if (e == ERR_AGAIN)
		log_info("runner_waits", "detail",
		    "another runner has this database");
	else if (e != OK)
		log_error("runner_stuck", "error", err_text(e), "detail",
		    fault->text);
	else
		log_info("runner_works", "db", r->cfg.db_path);
	r->state = e;
}

/* --- When ----------------------------------------------------------------- */

static void
set_timer(struct runner *r, int64_t due_us)
{
	if (timer_set(r->loop, &r->timer, due_us) != OK)
		loop_defer(r->loop, &r->turn);
}

static bool
has_ready(const struct runner *r)
{
	const struct task *t;

	STAILQ_FOREACH(t, &r->tasks, link)
		if (t->state == TASK_READY)
			return true;
	return false;
}

/* When all is well: as soon as one more may be called, or is due. *ret_idle:
 * nothing is under way, and nothing due. */
static enum err
plan(struct runner *r, bool *ret_idle)
{
	int64_t now_ms = clock_real_ms(), now_us = clock_mono_us();
	int64_t wait_us = (int64_t)IDLE_MAX_MS * 1000, next_ms = 0;
	struct due due;
	enum err e = find_due(r, &due);

	if (e == OK)
		e = run_queue_next(r->leader.db, now_ms, &next_ms);
	if (e != OK)
		return e;
	if (next_ms != 0 && (next_ms - now_ms) * 1000 < wait_us)
		wait_us = (next_ms - now_ms) * 1000;
	if (has_ready(r) || r->n_tasks < r->cfg.parallel)
		if (rate_next_us(&r->rate) > now_us &&
		    rate_next_us(&r->rate) - now_us < wait_us)
			wait_us = rate_next_us(&r->rate) - now_us;
	if (due.n > 0)
		wait_us = 0;
	if (has_answers(r) && wait_us > AGAIN_MS * 1000LL)
		wait_us = AGAIN_MS * 1000LL;
	set_timer(r, now_us + wait_us);
	*ret_idle =
	    due.n == 0 && r->n_tasks == 0 && rate_next_us(&r->rate) <= now_us;
	return OK;
}

static void
take_turn(struct runner *r)
{
	struct db_fault fault = {0};
	bool is_idle = false;
	enum err e = leader_take(&r->leader, &fault);

	if (e == OK) {
		e = transact(r);
		if (e == OK) {
			send_ready(r);
			e = plan(r, &is_idle);
		}
		fault = *db_last_fault(r->leader.db);
		if (db_is_spoiled_by(e))
			leader_release(&r->leader);
	}
	note_state(r, e, &fault);
	if (e != OK)
		set_timer(
		    r, clock_mono_us() +
			   (e == ERR_AGAIN ? LOCK_POLL_MS : AGAIN_MS) * 1000LL);
	/* Another one does it, or nobody can now. */
	if (e != OK && r->n_tasks == 0)
		is_idle = r->is_stopping || e != ERR_BUSY;
	if (is_idle && (r->cfg.is_once || r->is_stopping))
		r->cfg.on_idle(
		    r->cfg.arg, e == ERR_AGAIN || r->is_stopping ? OK : e);
}

static void
on_turn(struct deferred *d)
{
	take_turn(container_of(d, struct runner, turn));
}

static void
on_timer(struct timer *t)
{
	take_turn(container_of(t, struct runner, timer));
}

static bool
on_look(void *arg, bool is_base)
{
	struct runner *r = arg;
	bool is_new = leader_has_news(&r->leader, is_base);

	if (is_new && r->state == OK)
		loop_defer(r->loop, &r->turn);
	return is_new;
}

static void
on_blind(void *arg, const char *why, int64_t poll_ms)
{
	(void)arg;
	log_warn("watch_blind", "detail", why, "poll_ms", LOG_INT(poll_ms));
}

enum err
runner_new(struct loop *loop, const struct runner_config *cfg,
    struct work_keys *keys, struct runner **ret)
{
	struct runner *r = calloc(1, sizeof(*r));
	struct watch_config watch = {.db_path = cfg->db_path,
	    .scope = cfg->scope,
	    .poll_ms = cfg->poll_ms,
	    .on_look = on_look,
	    .on_blind = on_blind,
	    .arg = r};
	enum err e;

	if (r == NULL)
		return ERR_NOMEM;
	r->cfg = *cfg;
	r->rate.interval_us = 1000000 / cfg->rate;
	r->loop = loop;
	r->state = ERR_EXPIRED; /* none yet: the first is logged */
	r->leader =
	    (struct leader)LEADER_INIT(r->cfg.db_path, "-runner", DB_WRITE);
	r->timer.on_due = on_timer;
	r->turn.run = on_turn;
	STAILQ_INIT(&r->tasks);
	STAILQ_INIT(&r->fresh);
	runner_set_keys(r, keys);
	e = http_client_new(loop, cfg->timeout_ms, ANSWER_MAX, &r->client);
	if (e == OK)
		e = watch_start(loop, &watch, &r->watch);
	if (e != OK) {
		runner_free(&r);
		return e;
	}
	loop_defer(loop, &r->turn);
	*ret = r;
	return OK;
}

void
runner_stop(struct runner *r)
{
	r->is_stopping = true;
	loop_defer(r->loop, &r->turn);
}

void
runner_set_keys(struct runner *r, struct work_keys *keys)
{
	work_keys_done(&r->keys);
	r->keys = *keys;
	*keys = (struct work_keys){0};
}

void
runner_free(struct runner **runner)
{
	struct runner *r = *runner;
	struct task *t;

	if (r == NULL)
		return;
	watch_stop(&r->watch);
	http_client_free(&r->client);
	while ((t = task_take(&r->tasks)) != NULL)
		task_free(&t);
	loop_undefer(r->loop, &r->turn);
	timer_cancel(r->loop, &r->timer);
	leader_release(&r->leader);
	work_keys_done(&r->keys);
	free(r);
	*runner = NULL;
}
