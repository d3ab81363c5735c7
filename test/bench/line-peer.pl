# A line of Modbus RTU units with the time that its bytes take: the far end of one pseudo-terminal, which has no speed of its
# own. A question is heard when its last byte would be in, then the line must be silent for 3.5 characters, then the unit
# thinks, then its answer comes as a UART gives it: 8 bytes at a time, each when it would be in. A unit that is off says
# nothing; neither does one whose question came before the line was silent for long enough, or into an answer.
#
# line-peer.pl BAUD BITS UNITS TURNAROUND_MS; prints its path. Standard input: `off 2 3`, `on`, `stats`, end of input ends it.
# `stats` prints JSON of the time since the last one, in ms: what the wire needs for what was answered (`usedMs`), per unit
# what was answered, ignored and asked in vain, and what the wire was lost on units that are off (`lostMs`: from the end of
# the line's last silence to the next question to anybody else), and how late this program was itself: `lateMs` at most,
# `behindMs` in all.
use strict; use warnings; use POSIX (); use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($baud, $bits, $units, $turnMs) = @ARGV;
my $char = $bits / $baud; my $silence = $baud > 19200 ? 0.00175 : 3.5 * $char; my $turn = $turnMs / 1000;

sysopen(my $line, "/dev/ptmx", 2 | 256) or die "ptmx: $!\n";
my $unlock = pack("i", 0); ioctl($line, 0x40045431, $unlock) or die "unlock: $!\n";
my $number = pack("i", 0); ioctl($line, 0x80045430, $number) or die "number: $!\n";
my $path = "/dev/pts/" . unpack("i", $number);
# Held open, so that a client that leaves does not end the line.
sysopen(my $keep, $path, 2 | 256) or die "$path: $!\n";
my $raw = POSIX::Termios->new; $raw->getattr(fileno $keep);
$raw->setiflag(0); $raw->setoflag(0); $raw->setlflag(0);
$raw->setcflag(POSIX::CS8() | POSIX::CREAD() | POSIX::CLOCAL());
$raw->setattr(fileno $keep, POSIX::TCSANOW());
binmode $line; $| = 1; print "$path\n";

my @table = map { my $crc = $_; $crc = $crc & 1 ? ($crc >> 1) ^ 0xa001 : $crc >> 1 for 1 .. 8; $crc } 0 .. 255;
sub crc { my $crc = 0xffff; $crc = ($crc >> 8) ^ $table[($crc ^ $_) & 0xff] for unpack "C*", $_[0]; pack "v", $crc }
sub now { clock_gettime(CLOCK_MONOTONIC) }

my (%off, %answered, %ignored, %vain, $received, @out, $vainSince);
my ($used, $lost, $since, $worst, $behind) = (0, 0, now(), 0, 0);
# When the line's last byte is in, and when its last byte to be sent is.
my ($busyUntil, $heardUntil) = (0, 0); $received = "";

sub reset_stats { %answered = map { $_ => 0 } 1 .. $units; %ignored = (); %vain = (); $used = $lost = $worst = $behind = 0; $since = now() }
reset_stats();

# Unit, function, address, count, as `answer` in PDUs; only functions 3 and 4.
sub answer {
  my ($unit, $code, $address, $count) = unpack "CCnn", $_[0];
  return pack("CCC", $unit, $code | 0x80, 1) unless $code == 3 || $code == 4;
  return pack("CCC", $unit, $code | 0x80, 3) if $count < 1 || $count > 125;
  return pack("CCC", $unit, $code, 2 * $count) . pack "n*", map { ($unit * 1000 + $_) & 0xffff } $address .. $address + $count - 1;
}

sub take {
  my ($bytes) = @_; my $at = now();
  # Bytes of one question that come apart were still sent one after the other.
  my $begin = $at > $heardUntil ? $at : $heardUntil;
  if ($received eq "") {
    if (defined $vainSince) { $lost += $begin - $vainSince; undef $vainSince }
    if ($begin < $busyUntil + $silence - 0.00002) { $ignored{early}++; @out = () if @out; $busyUntil = $begin; $heardUntil = $begin + $char * length $bytes; return }
  }
  $heardUntil = $begin + $char * length $bytes; $received .= $bytes;
  return if length $received < 8;
  my $question = $received; $received = "";
  if (length $question != 8 || crc(substr $question, 0, 6) ne substr $question, 6) { $ignored{corrupt}++; return }
  my $unit = unpack "C", $question; $busyUntil = $heardUntil;
  if ($off{$unit} || $unit < 1 || $unit > $units) { $vain{$unit}++; $vainSince = $begin; return }
  my $frame = answer($question); $frame .= crc($frame);
  my $start = $heardUntil + $silence + $turn; my $length = length $frame;
  for (my $from = 0; $from < $length; $from += 8) {
    my $to = $from + 8 < $length ? $from + 8 : $length;
    push @out, [$start + $to * $char, substr($frame, $from, $to - $from), $to == $length ? $unit : 0];
  }
  $busyUntil = $start + $length * $char;
  push @{$out[-1]}, (8 + $length) * $char + 2 * $silence + $turn;
}

sub order {
  my ($what, @rest) = split " ", $_[0];
  if ($what eq "off") { %off = map { $_ => 1 } @rest }
  elsif ($what eq "on") { %off = () }
  elsif ($what eq "stats") {
    my $at = now(); if (defined $vainSince) { $lost += $at - $vainSince; $vainSince = $at }
    my $json = sub { my %of = @_; "{" . join(",", map { "\"$_\":$of{$_}" } sort keys %of) . "}" };
    printf "{\"elapsedMs\":%.3f,\"usedMs\":%.3f,\"lostMs\":%.3f,\"lateMs\":%.3f,\"behindMs\":%.3f,\"answered\":%s,\"vain\":%s,\"ignored\":%s}\n",
      1000 * ($at - $since), 1000 * $used, 1000 * $lost, 1000 * $worst, 1000 * $behind, $json->(%answered), $json->(%vain), $json->(%ignored);
    reset_stats();
  }
}

my $orders = "";
while (1) {
  my $ready = ""; vec($ready, $_, 1) = 1 for fileno STDIN, fileno $line;
  my $wait = @out ? $out[0][0] - now() : undef;
  $wait = 0 if defined $wait && $wait < 0;
  my $count = select($ready, undef, undef, $wait);
  if ($count > 0 && vec($ready, fileno $line, 1)) { sysread($line, my $bytes, 4096) or exit 1; take($bytes) }
  if ($count > 0 && vec($ready, fileno STDIN, 1)) {
    sysread(STDIN, $orders, 4096, length $orders) or exit 0;
    order($1) while $orders =~ s/^(.*)\n//;
  }
  while (@out && $out[0][0] <= now()) {
    my ($at, $bytes, $unit, $need) = @{shift @out};
    my $late = now() - $at; $worst = $late if $late > $worst;
    if ($unit) { $answered{$unit}++; $used += $need; $behind += $late; $busyUntil = $at + $late }
    syswrite $line, $bytes;
  }
}
