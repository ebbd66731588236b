#include "collector/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, NAP_MS = 10 };

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = NAP_MS * 1000000L }, NULL);
}

/* The program's path: beside our own executable. */
static int program_path(char *path, size_t size, const char *name)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash + 2 - path) + strlen(name) > size)
		return -ENAMETOOLONG;
	snprintf(slash + 1, size - (size_t)(slash + 1 - path), "%s", name);
	return access(path, X_OK) < 0 ? -errno : 0;
}

/* Between fork and exec: only what is safe there. */
static void __attribute__((noreturn))
become(const char *path, const char *const argv[], int log, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	/* A group of its own: Ctrl-C is for us, who then end the children in order. */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(log, STDERR_FILENO);
	dup2(log, STDOUT_FILENO);
	execv(path, (char *const *)argv);
	_exit(127);
}

int child_start(struct child *c, const char *const argv[], const char *dir, struct why *why)
{
	char path[512];
	pid_t parent = getpid();
	int log, r;

	*c = (struct child){ .name = argv[0] };
	r = program_path(path, sizeof(path), argv[0]);
	if (r < 0)
		return why_set(why, r, "%.120s: %s", path, strerror(-r));
	snprintf(c->log, sizeof(c->log), "%.300s/%.60s.log", dir, argv[0]);
	log = open(c->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);
	if (log < 0)
		return why_set(why, -errno, "%.120s: %s", c->log, strerror(errno));
	c->pid = fork();
	if (c->pid == 0)
		become(path, argv, log, parent);
	r = c->pid < 0 ? -errno : 0;
	close(log);
	if (r < 0) {
		c->pid = 0;
		return why_set(why, r, "fork: %s", strerror(-r));
	}
	return 0;
}

bool child_runs(struct child *c)
{
	if (c->pid == 0)
		return false;
	if (waitpid(c->pid, NULL, WNOHANG) == 0)
		return true;
	c->pid = 0;
	return false;
}

size_t child_said(const struct child *c, char text[static CHILD_LOG_MAX + 1])
{
	int fd = open(c->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, CHILD_LOG_MAX);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

void child_stop(struct child *c)
{
	if (!child_runs(c))
		return;
	kill(c->pid, SIGTERM);
	for (int waited = 0; waited < PATIENCE_MS; waited += NAP_MS) {
		if (!child_runs(c))
			return;
		nap();
	}
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
}
