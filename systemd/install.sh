#!/bin/sh
# Installs Millrace as a systemd service, from the folder this script lies in. May be run again to update: it replaces
# the program, keeps configuration and data, and asks nothing.
set -eu

say() { printf 'millrace install: %s\n' "$1"; }
fail() {
  printf 'millrace install: %s\n' "$1" >&2
  exit 1
}

case "${1-}" in
  "") ;;
  *)
    cat <<'HELP'
Usage: sudo systemd/install.sh

  /opt/millrace                the program (replaced)
  /etc/millrace/millrace.yaml  the configuration (kept where it exists)
  /var/lib/millrace            queue and state (kept)
  /etc/systemd/system/millrace.service, /usr/lib/sysusers.d/millrace.conf
  /usr/lib/systemd/system/millrace.service.d/serial.conf: serial ports

The service is enabled, and restarted where it was running. Start it after editing the configuration:
  sudo systemctl start millrace
HELP
    [ "$1" = "--help" ] && exit 0
    exit 64
    ;;
esac

[ "$(id -u)" = 0 ] || fail "needs root: sudo $0"
command -v systemctl >/dev/null || fail "systemd is not here"
command -v systemd-notify >/dev/null || fail "systemd-notify is not here; it belongs to Debian's package systemd"
node=$(command -v node) || fail "Node.js is not here; version 20.19 or later is needed"
"$node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  fail "Node.js $("$node" --version) is too old; 20.19 or later is needed"

source=$(cd "$(dirname "$0")/.." && pwd)
target=/opt/millrace
[ -f "$source/dist/gateway/main.js" ] || fail "$source/dist is not built; run: npm ci && npm run build"
[ -d "$source/node_modules" ] || fail "$source/node_modules is not there; run: npm ci --omit=dev"
case "$(readlink -f "$node")" in
  /home/* | /root/* | /run/user/*) fail "$node lies in a home folder, which the service cannot read; install Node.js for the system" ;;
esac

say "user millrace"
install -D -m 0644 "$source/systemd/millrace.sysusers" /usr/lib/sysusers.d/millrace.conf
systemd-sysusers millrace.conf

if [ "$source" = "$target" ]; then
  say "program is in $target already"
else
  say "program to $target"
  rm -rf "$target.new" "$target.old"
  mkdir -p "$target.new"
  for part in dist node_modules schema examples profiles monitoring systemd package.json README.md LICENSE CHANGELOG.md; do
    if [ -e "$source/$part" ]; then cp -a "$source/$part" "$target.new/"; fi
  done
  chown -R root:root "$target.new"
  chmod -R go=rX "$target.new"
  if [ -e "$target" ]; then mv "$target" "$target.old"; fi
  mv "$target.new" "$target"
  rm -rf "$target.old"
fi

config=/etc/millrace/millrace.yaml
install -d -o millrace -g millrace -m 0750 /etc/millrace
if [ -e "$config" ]; then
  say "configuration $config kept"
else
  say "example configuration to $config: edit it before the start"
  sed 's|dataDir: *[^ ,}]*|dataDir: /var/lib/millrace|' "$source/examples/quick-start.yaml" >"$config"
  grep -q 'dataDir: /var/lib/millrace' "$config" || sed -i 's|^gateway: *{|gateway: { dataDir: /var/lib/millrace,|' "$config"
  chown millrace:millrace "$config"
  chmod 0640 "$config"
fi

say "service millrace.service"
install -m 0644 "$source/systemd/millrace.service" /etc/systemd/system/millrace.service
# Serial ports. A link of the same name to /dev/null in /etc/systemd/system/millrace.service.d switches it off, and is kept.
install -D -m 0644 "$source/systemd/serial.conf" /usr/lib/systemd/system/millrace.service.d/serial.conf
dropin=/etc/systemd/system/millrace.service.d/node.conf
if [ "$node" = /usr/bin/node ]; then
  rm -f "$dropin"
else
  mkdir -p "$(dirname "$dropin")"
  printf '[Service]\nExecStart=\nExecStart=%s /opt/millrace/dist/gateway/main.js run --config %s\n' "$node" "$config" >"$dropin"
fi
systemctl daemon-reload
systemctl enable millrace.service
if systemctl is-active --quiet millrace.service; then
  say "restarting"
  systemctl restart millrace.service
else
  say "installed; start it with: systemctl start millrace"
fi
