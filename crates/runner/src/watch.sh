: arvados-dispatch watch v1
set -u
LC_ALL=C
locks=${1-}
case $locks in
  /*) ;;
  *)
    printf '%s\n' "the argument is not an absolute path: $locks" >&2
    exit 2
    ;;
esac
if ! command -v flock >/dev/null 2>&1; then
  echo '! flock is not installed'
  exit 3
fi

# In a child: waits for one lock. $! is the process that waits.
watch() {
  trap 'kill "$!" 2>/dev/null; exit 0' HUP INT TERM
  lock=$locks/crunch-run-$1.lock
  flock -s 9 2>/dev/null 9<"$lock" &
  if wait "$!" || [ ! -e "$lock" ]; then
    printf '%s\n' "$1"
  else
    printf '! %s: cannot watch its lock\n' "$1"
  fi
}

# Whether a process is a living child of this shell: its number may have been given to another since.
ours() {
  { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  [ "${2-}" = "$$" ] && [ "$1" != Z ]
}

watchers=
finish() {
  trap '' HUP INT TERM
  for pid in $watchers; do
    if ours "$pid"; then kill "$pid" 2>/dev/null; fi
  done
  wait
  exit "$1"
}
trap 'finish 129' HUP
trap 'finish 130' INT
trap 'finish 143' TERM

while IFS= read -r uuid; do
  case $uuid in
    '' | *[!A-Za-z0-9-]*)
      printf '%s\n' "! not a container's UUID"
      continue
      ;;
  esac
  (watch "$uuid") </dev/null &
  watchers="$watchers $!"
  alive=
  for pid in $watchers; do
    if ours "$pid"; then alive="$alive $pid"; fi
  done
  watchers=$alive
done
finish 0
