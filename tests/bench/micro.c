/* SPDX-License-Identifier: ISC */
/*
 * Runs one case for valgrind to count: `micro NAME`; without a name, lists
 * them with their number of operations. Only what micro_counted() calls is
 * counted (--toggle-collect), and only the second time, when caches are warm
 * and statements prepared.
 */
#include "micro.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct micro_case *const tables[] = {
    micro_hook, micro_live, micro_web, micro_auth};

enum { N_TABLES = sizeof(tables) / sizeof(tables[0]) };

static char folder[64];

void
micro_must(bool is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "micro: not so: %s\n", what);
	exit(EXIT_FAILURE);
}

static void
remove_folder(void)
{
	char path[sizeof(folder) + sizeof(struct dirent)];
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(folder);
}

struct db *
micro_database(const char **ret_path)
{
	static char path[sizeof(folder) + 8];
	struct db *db = NULL;

	strcpy(folder, "/tmp/jobwire-micro-XXXXXX");
	micro_must(mkdtemp(folder) != NULL, "a folder can be made");
	atexit(remove_folder);
	snprintf(path, sizeof(path), "%s/m.db", folder);
	micro_must(db_open(path, DB_CREATE, 0, &db, NULL) == OK,
	    "a database can be made");
	*ret_path = path;
	return db;
}

__attribute__((noinline)) static void
micro_counted(const struct micro_case *c)
{
	c->run();
	__asm__ volatile(""); /* or the call is a jump, and nothing returns */
}

static const struct micro_case *
find(const char *name)
{
	for (size_t i = 0; i < N_TABLES; i++)
		for (const struct micro_case *c = tables[i]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

static void
list(void)
{
	for (size_t i = 0; i < N_TABLES; i++)
		for (const struct micro_case *c = tables[i]; c->name; c++)
			printf("%s %u\n", c->name, c->n);
}

int
main(int argc, char **argv)
{
	const struct micro_case *c;

	if (argc < 2) {
		list();
		return EXIT_SUCCESS;
	}
	c = find(argv[1]);
	micro_must(c != NULL, "there is a case of that name");
	c->set_up();
	c->run();
	micro_counted(c);
	return EXIT_SUCCESS;
}
