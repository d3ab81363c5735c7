/*
 * A Modbus server on libmodbus whose holding registers change, with its own log of every change: the independent
 * witness for the end-to-end suites.
 *
 *   modbus-server tcp <port> <unit> <registers> <tick-ms> <log>
 *   modbus-server rtu <path> <unit> <registers> <tick-ms> <log>
 *
 * At each tick all registers take new values at once: register a at tick t is (t * 31 + a * 17) mod 65536. The log has
 * one line a tick: "<tick> <wall ms>". It prints "ready" when it answers, ends on SIGTERM.
 */
#include <errno.h>
#include <modbus.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopping = 0;

static void on_term(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

static int64_t now_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct plant {
  modbus_mapping_t *map;
  int registers;
  int64_t tick_ms, next, tick;
  FILE *log;
};

/* The log line is on its way before the registers change: a value read is always a value logged. */
static void advance(struct plant *p) {
  while (now_ms(CLOCK_MONOTONIC) >= p->next) {
    p->tick += 1;
    fprintf(p->log, "%lld %lld\n", (long long)p->tick, (long long)now_ms(CLOCK_REALTIME));
    fflush(p->log);
    for (int a = 0; a < p->registers; a++) p->map->tab_registers[a] = (uint16_t)(p->tick * 31 + a * 17);
    p->next += p->tick_ms;
  }
}

static void serve_tcp(modbus_t *ctx, struct plant *p) {
  struct pollfd fds[9];
  int count = 1;
  int listener = modbus_tcp_listen(ctx, 8);
  if (listener < 0) { perror("listen"); exit(1); }
  fds[0].fd = listener;
  fds[0].events = POLLIN;
  printf("ready\n");
  fflush(stdout);
  while (!stopping) {
    int64_t wait = p->next - now_ms(CLOCK_MONOTONIC);
    poll(fds, count, wait < 0 ? 0 : (int)wait);
    advance(p);
    for (int i = count - 1; i > 0; i--) {
      if (!(fds[i].revents & (POLLIN | POLLHUP | POLLERR))) continue;
      uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
      modbus_set_socket(ctx, fds[i].fd);
      int n = modbus_receive(ctx, query);
      if (n > 0) modbus_reply(ctx, query, n, p->map);
      else if (n < 0) { close(fds[i].fd); fds[i] = fds[--count]; }
    }
    if ((fds[0].revents & POLLIN) && count < 9) {
      int s = listener;
      modbus_tcp_accept(ctx, &s);
      fds[count].fd = modbus_get_socket(ctx);
      fds[count].events = POLLIN;
      fds[count++].revents = 0;
    }
  }
}

static void serve_rtu(modbus_t *ctx, struct plant *p) {
  if (modbus_connect(ctx) < 0) { perror("open"); exit(1); }
  printf("ready\n");
  fflush(stdout);
  while (!stopping) {
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_set_indication_timeout(ctx, 0, 20000);
    int n = modbus_receive(ctx, query);
    advance(p);
    if (n > 0) modbus_reply(ctx, query, n, p->map);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) { fprintf(stderr, "usage: %s tcp|rtu <port|path> <unit> <registers> <tick-ms> <log>\n", argv[0]); return 64; }
  int tcp = strcmp(argv[1], "tcp") == 0;
  struct plant p = { .registers = atoi(argv[4]), .tick_ms = atoi(argv[5]) };
  p.map = modbus_mapping_new(16, 16, p.registers, 16);
  p.log = fopen(argv[6], "w");
  if (!p.map || !p.log) { perror("start"); return 1; }
  p.next = now_ms(CLOCK_MONOTONIC);
  modbus_t *ctx = tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
  if (!ctx) { perror("context"); return 1; }
  modbus_set_slave(ctx, atoi(argv[3]));
  struct sigaction action = { .sa_handler = on_term };
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  advance(&p);
  if (tcp) serve_tcp(ctx, &p);
  else serve_rtu(ctx, &p);
  fclose(p.log);
  return 0;
}
