: arvados-dispatch user v1
set -u
LC_ALL=C
user=${1-}
engine=${2-}
locks=${3-}
fuse=${4-}
fail() {
  printf '%s\n' "$*" >&2
  exit 4
}
me=$(id -un) || fail "the name of the user who runs this cannot be found out"
[ "$me" = "$user" ] || fail "this runs as $me and not as $user"

file=$(mktemp "$locks/.arvados-dispatch-user.XXXXXXXXXX") ||
  fail "$user cannot write into $locks, where runners keep their lock files: give it the mode 1777 on the image"
rm -f "$file"
for file in "$locks"/crunch-run-*; do
  [ -e "$file" ] || continue
  [ -O "$file" ] || fail "$file belongs to another user than $user: runners have run here as that one. Drain this instance, or remove the file from the image"
done

case $engine in
  docker)
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    case $socket in
      unix://*)
        socket=${socket#unix://}
        [ -e "$socket" ] || fail "$socket is missing: Docker does not run (yet)"
        [ -r "$socket" ] && [ -w "$socket" ] || fail "$user may not use $socket: add $user to the group docker on the image"
        ;;
    esac
    ;;
  singularity)
    command -v singularity >/dev/null 2>&1 || command -v apptainer >/dev/null 2>&1 ||
      fail "$user finds no singularity: install it where the PATH of $user leads"
    ;;
esac

[ ! -e /dev/fuse ] || { [ -r /dev/fuse ] && [ -w /dev/fuse ]; } ||
  fail "$user may not use /dev/fuse: give it the mode 0666 on the image"
[ ! -e "$fuse" ] || grep -q '^[[:space:]]*user_allow_other' "$fuse" ||
  fail "$fuse has no line user_allow_other, without which what $user mounts is for $user alone: add it on the image"
exit 0
