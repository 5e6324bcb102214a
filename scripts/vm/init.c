// PID 1 of a test VM: loads modules, builds a root (the host's file system read-only, with a throw-away overlay), mounts
// what BPF tests need, runs the job, and reports how it ended.
//
// Output goes through three virtio-serial ports: "out" and "err" carry the job's two streams, "ctl" ours. The last line
// of "ctl" says the exit status and how many bytes went through the others, so that the host sees if any were cut.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUT, ERR, CTL, PORTS };
static const char *const port_names[PORTS] = { "out", "err", "ctl" };
static int ports[PORTS] = { -1, -1, -1 };
static unsigned long sent[PORTS];

// ---------------------------------------------------------------- ending and reporting

// A write to the isa-debug-exit device ends QEMU at once; a reset (QEMU runs with -no-reboot) is the fallback.
static void __attribute__((noreturn)) power_off(void) {
	if (ioperm(0xf4, 4, 1) == 0) outl(0, 0xf4);
	reboot(RB_AUTOBOOT);
	for (;;) pause();
}

// To the kernel's log, and so to the console, which the host shows when a VM fails.
static void __attribute__((format(printf, 1, 2))) complain(const char *format, ...) {
	char text[512];
	va_list arguments;
	int length = snprintf(text, sizeof text, "<3>init: ");
	va_start(arguments, format);
	vsnprintf(text + length, sizeof text - length, format, arguments);
	va_end(arguments);
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (log < 0 || write(log, text, strlen(text)) < 0) power_off();
	close(log);
}

#define fatal(...) do { complain(__VA_ARGS__); power_off(); } while (0)

// ---------------------------------------------------------------- files

static char *read_file(const char *path, size_t *length) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return NULL;
	size_t used = 0, room = 4096;
	char *content = malloc(room + 1);
	for (ssize_t n; (n = read(fd, content + used, room - used)) > 0;)
		if ((used += n) == room) content = realloc(content, (room *= 2) + 1);
	close(fd);
	content[used] = 0;
	if (length) *length = used;
	return content;
}

static void write_file(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) complain("%s: %s", path, strerror(errno));
	if (fd >= 0) close(fd);
}

// A file of NUL-terminated strings as an array that ends with NULL.
static char **read_strings(const char *path) {
	size_t length = 0, count = 0;
	char *content = read_file(path, &length);
	for (size_t i = 0; i < length; i++) count += content[i] == 0;
	char **strings = calloc(count + 1, sizeof *strings);
	count = 0;
	for (char *s = content; s < content + length; s += strlen(s) + 1) strings[count++] = s;
	return strings;
}

static void mount_at(const char *type, const char *path, unsigned long flags, const char *options) {
	mkdir(path, 0755);
	if (mount(type, path, type, flags, options)) complain("mount %s at %s: %s", type, path, strerror(errno));
}

// ---------------------------------------------------------------- setting up

static void load_modules(void) {
	char *list = read_file("/modules/list", NULL), *name;
	while ((name = strsep(&list, "\n")) && *name) {
		char path[300];
		snprintf(path, sizeof path, "/modules/%s.ko", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST) complain("module %s: %s", name, strerror(errno));
		close(fd);
	}
}

// Looks once through the ports that are there, and opens those that are ours.
static int open_ports_present(void) {
	int opened = 0;
	DIR *folder = opendir("/sys/class/virtio-ports");
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		char path[400];
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
		char *name = entry->d_name[0] == '.' ? NULL : read_file(path, NULL);
		for (int i = 0; name && i < PORTS; i++) {
			if (ports[i] >= 0 || strncmp(name, port_names[i], strlen(port_names[i]))) continue;
			snprintf(path, sizeof path, "/dev/%s", entry->d_name);
			opened += (ports[i] = open(path, O_WRONLY | O_CLOEXEC)) >= 0;
		}
		free(name);
	}
	if (folder) closedir(folder);
	return opened;
}

// They come up a moment after the driver.
static void open_ports(void) {
	int opened = 0;
	for (int tries = 0; opened < PORTS && tries < 1000; tries++) {
		opened += open_ports_present();
		if (opened < PORTS) usleep(10000);
	}
	if (opened < PORTS) fatal("no virtio-serial ports");
}

static void enter_root(void) {
	mkdir("/lower", 0755);
	mkdir("/new", 0755);
	int failed = -1;
	for (int tries = 0; failed && tries < 500; tries++)
		if ((failed = mount("rootfs", "/lower", "virtiofs", MS_RDONLY, NULL))) usleep(10000);
	if (failed) fatal("virtiofs: %s", strerror(errno));
	mount_at("tmpfs", "/rw", 0, "mode=755,size=75%");
	mkdir("/rw/upper", 0755);
	mkdir("/rw/work", 0755);
	if (mount("overlay", "/new", "overlay", 0, "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work"))
		fatal("overlay: %s", strerror(errno));
	const char *const moved[] = { "/dev", "/proc", "/sys" };
	for (int i = 0; i < 3; i++) {
		char target[32];
		snprintf(target, sizeof target, "/new%s", moved[i]);
		mkdir(target, 0755);
		mount(moved[i], target, NULL, MS_MOVE, NULL);
	}
	if (chdir("/new") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		fatal("entering the root: %s", strerror(errno));
}

static void raise_loopback(void) {
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ioctl(fd, SIOCGIFFLAGS, &request);
	request.ifr_flags |= IFF_UP;
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

static void furnish(void) {
	mount_at("devpts", "/dev/pts", 0, "mode=620,ptmxmode=666");
	mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, NULL);
	mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
	mount_at("bpf", "/sys/fs/bpf", 0, "mode=700");
	mount_at("cgroup2", "/sys/fs/cgroup", 0, NULL);
	mount_at("debugfs", "/sys/kernel/debug", 0, NULL);
	mount_at("tracefs", "/sys/kernel/tracing", 0, NULL);
	mount_at("securityfs", "/sys/kernel/security", 0, NULL);
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") || symlink("fd/1", "/dev/stdout") ||
	    symlink("fd/2", "/dev/stderr"))
		complain("/dev/fd: %s", strerror(errno));
	write_file("/proc/sys/kernel/kptr_restrict", "0\n");
	if (sethostname("vm", 2)) complain("host name: %s", strerror(errno));
	raise_loopback();
}

// ---------------------------------------------------------------- the job

static void emit(int port, const char *bytes, size_t length) {
	while (length) {
		ssize_t n = write(ports[port], bytes, length);
		if (n < 0 && errno != EINTR && errno != EAGAIN) fatal("port %s: %s", port_names[port], strerror(errno));
		if (n > 0) sent[port] += n, bytes += n, length -= n;
	}
}

static void __attribute__((noreturn)) become_job(char **argv, char **environment, const char *directory, int out, int err) {
	setsid();
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = environment;
	if (chdir(directory)) {
		dprintf(STDERR_FILENO, "init: cannot enter %s: %m\n", directory);
		_exit(126);
	}
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "init: cannot run %s: %m\n", argv[0]);
	_exit(127);
}

static double uptime(void) {
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

// Copies the job's output until it has ended and its pipes are closed; gives its wait status. Processes that it left
// behind, and that hold the pipes, get one second.
static int attend(pid_t job, int out, int err, int child_signals) {
	static char buffer[65536];
	struct pollfd waiting[3] = { { out, POLLIN, 0 }, { err, POLLIN, 0 }, { child_signals, POLLIN, 0 } };
	int open_pipes = 2, status = 0, ended = 0;
	double deadline = 0;
	while (open_pipes || !ended) {
		if (ended && uptime() > deadline) {
			kill(-1, SIGKILL);
			deadline = uptime() + 5;
		}
		poll(waiting, 3, ended ? 100 : -1);
		for (int i = OUT; i <= ERR; i++) {
			if (waiting[i].fd < 0 || !waiting[i].revents) continue;
			ssize_t n = read(waiting[i].fd, buffer, sizeof buffer);
			if (n > 0) emit(i, buffer, n);
			else if (n == 0 || errno != EINTR) waiting[i].fd = -1, open_pipes--;
		}
		if (!waiting[2].revents) continue;
		struct signalfd_siginfo info;
		while (read(child_signals, &info, sizeof info) > 0) {}
		int one;
		for (pid_t child; (child = waitpid(-1, &one, WNOHANG)) > 0;)
			if (child == job) status = one, ended = 1, deadline = uptime() + 1;
	}
	return status;
}

int main(void) {
	char **argv = read_strings("/job/argv"), **environment = read_strings("/job/env");
	char *directory = read_file("/job/cwd", NULL);
	mount_at("devtmpfs", "/dev", 0, NULL);
	mount_at("proc", "/proc", 0, NULL);
	mount_at("sysfs", "/sys", 0, NULL);
	write_file("/proc/sys/kernel/printk_devkmsg", "on\n");
	load_modules();
	open_ports();
	enter_root();
	furnish();

	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	int child_signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	int out[2], err[2];
	emit(CTL, "start\n", 6);
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) fatal("pipes: %s", strerror(errno));
	pid_t job = fork();
	if (job < 0) fatal("fork: %s", strerror(errno));
	if (job == 0) become_job(argv, environment, directory, out[1], err[1]);
	close(out[1]);
	close(err[1]);

	int status = attend(job, out[0], err[0], child_signals);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	char report[200];
	int length = snprintf(report, sizeof report, "exit=%d out=%lu err=%lu end\n", code, sent[OUT], sent[ERR]);
	emit(CTL, report, length);
	power_off();
}
