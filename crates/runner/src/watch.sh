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

# Whether the first is a living child of the second: its number may have been given to another since.
child_of() {
  { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- "$2" ${stat##*) }
  [ "${3-}" = "$1" ] && [ "$2" != Z ]
}

# Ends children of the first. A signal that meets a child before it is itself is lost: it is sent until it worked.
end_children() {
  parent=$1
  shift
  while :; do
    living=
    for pid; do
      if child_of "$pid" "$parent"; then
        kill "$pid" 2>/dev/null
        living=1
      fi
    done
    [ "$living" ] || return 0
    sleep 0.02 2>/dev/null || sleep 1
  done
}

# In a child: waits for one lock. $! is the process that waits.
watch() {
  # Of the child itself: $$ is still its parent's.
  IFS= read -r me </proc/self/stat
  me=${me%% *}
  trap 'set +u; end_children "$me" "$!"; exit 0' HUP INT TERM
  lock=$locks/crunch-run-$1.lock
  flock -s 9 2>/dev/null 9<"$lock" &
  if wait "$!" || [ ! -e "$lock" ]; then
    printf '%s\n' "$1"
  else
    printf '! %s: cannot watch its lock\n' "$1"
  fi
}

watchers=
finish() {
  trap '' HUP INT TERM
  end_children "$$" $watchers
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
    if child_of "$pid" "$$"; then alive="$alive $pid"; fi
  done
  watchers=$alive
done
finish 0
