/* SPDX-License-Identifier: ISC */
/*
 * The states of a run: of one submission of a job to the service that does it.
 * Layer: job, pure. schema.sql has the same names.
 */
#ifndef JOBWIRE_JOB_RUN_H
#define JOBWIRE_JOB_RUN_H

enum run_state {
	RUN_NO_STATE,	/* what a name that is none stands for */
	RUN_WAITING,	/* to be sent */
	RUN_SUBMITTING, /* it leaves now; found so after a crash: unknown */
	RUN_UNKNOWN,	/* it was sent, and nobody knows whether it arrived */
	RUN_SUBMITTED,	/* the provider has it */
	RUN_ENDED,
	RUN_STATES /* how many values there are */
};

/* The code of a run that may have arrived or not. One that waits has it when it
 * was sent before, and nobody knows what came of that. */
#define RUN_IN_DOUBT "submission_unknown"

/* The name as it is stored and shown, static; "" for RUN_NO_STATE. */
const char *run_state_name(enum run_state state);
enum run_state run_state_of(const char *name);

#endif
