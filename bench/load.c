/* HTTP load over keep-alive connections, one request in flight on each. Prints one JSON object.
 *
 *   load PORT REQUESTS CONNECTIONS RATE WARMUP_S SECONDS
 *
 * REQUESTS: a file of requests, each with a 4-byte little-endian length in front. RATE in requests a second: an open loop of Poisson
 * arrivals; latency counts from the intended arrival, so a server that stalls cannot hide it, and an arrival that was not answered
 * when the window ended counts as missed. RATE 0: a closed loop. Replies are checked for status 200 and their length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
typedef struct { int fd, busy, head_len; long left; double intended, sent; char head[HEAD_MAX + 1]; const char *out; size_t out_left; } Conn;
typedef struct { char *data; size_t size; } Request;

static Conn *conns; static int n_conns, port, ep; static Request *requests; static size_t n_requests;
static int *idle, n_idle; static double *due; static size_t due_head, due_tail, due_cap;
static double *latency, *service; static size_t n_done, cap_done; static long errors, misses;
static double t_start, t_measure, t_end; static uint64_t seed = 88172645463325252ULL;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static uint64_t rnd(void) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed; }
static double uniform(void) { return ((rnd() >> 11) + 1) * (1.0 / 9007199254740993.0); }
static void die(const char *what) { perror(what); exit(2); }

static void dial(int i) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    conns[i].fd = fd; conns[i].busy = 0; conns[i].head_len = 0; conns[i].left = -1; conns[i].out_left = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void push(Conn *c, int i) {
    while (c->out_left) {
        ssize_t n = write(c->fd, c->out, c->out_left);
        if (n < 0 && errno == EAGAIN) {
            struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.u32 = i};
            epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
            return;
        }
        if (n < 0) return;      /* the read side sees it */
        c->out += n; c->out_left -= n;
    }
}

static void ask(int i, double intended) {
    Conn *c = &conns[i];
    Request *r = &requests[rnd() % n_requests];
    c->busy = 1; c->intended = intended; c->sent = now(); c->head_len = 0; c->left = -1; c->out = r->data; c->out_left = r->size;
    push(c, i);
}

static void answered(Conn *c, double t, int ok) {
    if (!ok) { errors++; return; }
    if (c->intended < t_measure || c->intended >= t_end) return;
    if (n_done == cap_done) {
        cap_done = cap_done ? cap_done * 2 : 1 << 16;
        latency = realloc(latency, cap_done * sizeof *latency);
        service = realloc(service, cap_done * sizeof *service);
    }
    latency[n_done] = t - c->intended; service[n_done++] = t - c->sent;
}

static void take(int i, int closed) {
    static char buffer[1 << 18];
    Conn *c = &conns[i];
    for (;;) {
        ssize_t n = read(c->fd, buffer, sizeof buffer);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            if (c->busy || n < 0) errors++;
            int was_busy = c->busy;
            close(c->fd); dial(i);
            if (was_busy) { if (closed) ask(i, now()); else idle[n_idle++] = i; }
            return;
        }
        char *p = buffer;
        if (c->left < 0) {
            int room = HEAD_MAX - c->head_len, k = n < room ? n : room, before = c->head_len;
            memcpy(c->head + c->head_len, p, k); c->head_len += k; c->head[c->head_len] = 0;
            char *end = strstr(c->head, "\r\n\r\n"), *length = strcasestr(c->head, "content-length:");
            if (!end) continue;
            c->left = length && length < end ? atol(length + 15) : 0;
            long used = end + 4 - c->head - before;
            p += used; n -= used;
        }
        c->left -= n;
        if (c->left <= 0) {
            double t = now();
            answered(c, t, !strncmp(c->head, "HTTP/1.1 200", 12) && c->left == 0);
            c->busy = 0;
            if (closed) { if (t < t_end) ask(i, t); }
            else if (due_head < due_tail) ask(i, due[due_head++ % due_cap]);
            else idle[n_idle++] = i;
            return;
        }
    }
}

static int by_value(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return (x > y) - (x < y); }
static double at(double *v, double q) { return n_done ? v[(size_t)fmin(n_done - 1, floor(n_done * q))] * 1e3 : -1; }

static void load_requests(const char *path) {
    FILE *f = fopen(path, "rb"); uint32_t size;
    if (!f) die(path);
    while (fread(&size, 4, 1, f) == 1) {
        requests = realloc(requests, (n_requests + 1) * sizeof *requests);
        requests[n_requests].data = malloc(size); requests[n_requests].size = size;
        if (fread(requests[n_requests++].data, 1, size, f) != size) die("short file");
    }
    fclose(f);
}

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "load PORT REQUESTS CONNECTIONS RATE WARMUP_S SECONDS\n"); return 2; }
    port = atoi(argv[1]); load_requests(argv[2]); n_conns = atoi(argv[3]);
    double rate = atof(argv[4]), warmup = atof(argv[5]), seconds = atof(argv[6]);
    int closed = rate <= 0;
    conns = calloc(n_conns, sizeof *conns); idle = calloc(n_conns + 1, sizeof *idle);
    due_cap = closed ? 1 : (size_t)(rate * (warmup + seconds) * 1.5) + 1000; due = calloc(due_cap, sizeof *due);
    ep = epoll_create1(0);
    for (int i = 0; i < n_conns; i++) dial(i);
    t_start = now() + 0.01; t_measure = t_start + warmup; t_end = t_measure + seconds;
    double next = t_start;
    for (int i = 0; i < n_conns; i++) { if (closed) ask(i, now()); else idle[n_idle++] = i; }
    struct epoll_event events[256];
    for (;;) {
        double t = now();
        if (!closed) while (next <= t && next < t_end) {
            if (n_idle) ask(idle[--n_idle], next); else due[due_tail++ % due_cap] = next;
            next += -log(uniform()) / rate;
        }
        if (t >= t_end + (closed ? 0 : 0.2)) break;
        double until = closed ? t_end : next < t_end ? next : t_end + 0.2, wait = until - t;
        if (wait < 0) wait = 0;
        struct timespec limit = {.tv_sec = (time_t)wait, .tv_nsec = (long)((wait - (time_t)wait) * 1e9)};
        int n = epoll_pwait2(ep, events, 256, &limit, NULL);
        for (int k = 0; k < n; k++) {
            int i = events[k].data.u32;
            if (events[k].events & EPOLLOUT) {
                struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
                epoll_ctl(ep, EPOLL_CTL_MOD, conns[i].fd, &e);
                push(&conns[i], i);
            }
            if (events[k].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(i, closed);
        }
    }
    if (!closed) {
        misses = due_tail - due_head;
        for (int i = 0; i < n_conns; i++) if (conns[i].busy && conns[i].intended >= t_measure) misses++;
    }
    size_t fast = 0;
    for (size_t i = 0; i < n_done; i++) fast += latency[i] < 0.010;
    qsort(latency, n_done, sizeof *latency, by_value); qsort(service, n_done, sizeof *service, by_value);
    struct rusage use; getrusage(RUSAGE_SELF, &use);
    double cpu = use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
    printf("{\"done\": %zu, \"seconds\": %g, \"rps\": %.1f, \"errors\": %ld, \"missed\": %ld, \"p50\": %.3f, \"p99\": %.3f, "
           "\"p999\": %.3f, \"max\": %.3f, \"service_p99\": %.3f, \"under_10ms\": %.5f, \"cpu_s\": %.3f}\n",
           n_done, seconds, n_done / seconds, errors, misses, at(latency, 0.5), at(latency, 0.99), at(latency, 0.999), at(latency, 1),
           at(service, 0.99), n_done + misses ? (double)fast / (n_done + misses) : 0, cpu);
    return 0;
}
