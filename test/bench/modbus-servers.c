/*
 * Many Modbus TCP servers on libmodbus in one process: the far side of the benchmarks. Answers any unit.
 *
 *   modbus-servers <servers> <registers> <tick-ms>
 *
 * At each tick all holding registers take new values: register a at tick t is (t * 31 + a * 17) mod 65536; coil a is bit 0
 * of t + a; input registers 2n and 2n + 1 are the float32 20 + t / 10 + n / 100, high word first. tick-ms 0 keeps them as they are at tick 1. Prints "ports <port> ..." when it answers. It ends on SIGTERM, or when
 * its standard input does, and prints "served <requests>". Questions that wait in a connection are answered one after the other.
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SERVERS = 256, MOST_FDS = 1000, COILS = 2000, FLOATS = 500 };

static volatile sig_atomic_t stopping = 0;

static void on_term(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int listen_anywhere(int *port) {
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t length = sizeof at;
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof at) < 0 || listen(s, 16) < 0 ||
      getsockname(s, (struct sockaddr *)&at, &length) < 0) {
    perror("listen");
    exit(1);
  }
  *port = ntohs(at.sin_port);
  return s;
}

static void change(modbus_mapping_t *map, int registers, int64_t tick) {
  for (int a = 0; a < registers; a++) map->tab_registers[a] = (uint16_t)(tick * 31 + a * 17);
  for (int n = 0; n < FLOATS; n++) {
    float value = 20 + tick / 10.0f + n / 100.0f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    map->tab_input_registers[2 * n] = (uint16_t)(bits >> 16);
    map->tab_input_registers[2 * n + 1] = (uint16_t)bits;
  }
  for (int a = 0; a < COILS; a++) map->tab_bits[a] = (uint8_t)((tick + a) & 1);
}

int main(int argc, char **argv) {
  if (argc != 4) { fprintf(stderr, "usage: %s <servers> <registers> <tick-ms>\n", argv[0]); return 64; }
  int servers = atoi(argv[1]), registers = atoi(argv[2]), tick_ms = atoi(argv[3]);
  if (servers < 1 || servers > MOST_SERVERS) { fprintf(stderr, "1 to %d servers\n", MOST_SERVERS); return 64; }
  struct sigaction action = { .sa_handler = on_term };
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);

  modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
  modbus_mapping_t *map = modbus_mapping_new(COILS, 16, registers, 2 * FLOATS);
  if (!ctx || !map) { perror("start"); return 1; }
  struct pollfd fds[MOST_FDS] = { { .fd = 0, .events = POLLIN } };
  int first = 1 + servers, count = first;
  printf("ports");
  for (int i = 1; i < first; i++) {
    int port;
    fds[i] = (struct pollfd){ .fd = listen_anywhere(&port), .events = POLLIN };
    printf(" %d", port);
  }
  printf("\n");
  fflush(stdout);

  int64_t tick = 1, next = now_ms() + tick_ms, served = 0;
  change(map, registers, tick);
  while (!stopping) {
    int64_t wait = tick_ms == 0 ? -1 : next - now_ms();
    if (tick_ms > 0 && wait <= 0) {
      change(map, registers, ++tick);
      next += tick_ms;
      continue;
    }
    if (poll(fds, (nfds_t)count, (int)wait) < 0) continue;
    if (fds[0].revents) break;
    for (int i = count - 1; i >= first; i--) {
      if (!fds[i].revents) continue;
      uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
      modbus_set_socket(ctx, fds[i].fd);
      int n = modbus_receive(ctx, query);
      if (n > 0) {
        modbus_reply(ctx, query, n, map);
        served++;
      } else if (n < 0) {
        close(fds[i].fd);
        fds[i] = fds[--count];
      }
    }
    for (int i = 1; i < first; i++) {
      if (!fds[i].revents || count == MOST_FDS) continue;
      int s = accept(fds[i].fd, NULL, NULL), yes = 1;
      if (s < 0) continue;
      setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      fds[count++] = (struct pollfd){ .fd = s, .events = POLLIN };
    }
  }
  printf("served %lld\n", (long long)served);
  return 0;
}
