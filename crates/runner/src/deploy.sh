: arvados-dispatch deploy v1
set -eu
umask 022
LC_ALL=C
fail() {
  code=$1
  shift
  printf '%s\n' "$*" >&2
  exit "$code"
}
md5=${1-}
dir=${2-}
case $md5 in *[!0-9a-f]*) md5= ;; esac
[ "${#md5}" -eq 32 ] || fail 2 "the first argument is not an MD5: ${1-}"
case $dir in
  /*[!/]) ;;
  *) fail 2 "the second argument is not an absolute path without a trailing slash: $dir" ;;
esac
final=$dir/crunch-run~$md5

mkdir -p "$dir"
me=$(id -u)
for owner in "$(stat -c %u "$dir")" "$(stat -L -c %u "$dir")"; do
  [ "$owner" = "$me" ] || fail 4 "$dir belongs to user $owner and not to user $me, who deploys: remove it, or set DeployRunnerDirectory to another directory"
done
[ -k "$dir" ] || chmod 0755 "$dir"

is_done() {
  [ -f "$final" ] && [ ! -L "$final" ] && [ -O "$final" ] || return 1
  found=$(md5sum <"$final") && [ "${found%% *}" = "$md5" ]
}
if is_done; then
  chmod 0755 "$final"
  cat >/dev/null
  exit 0
fi

tmp=
trap '[ -z "$tmp" ] || rm -f "$tmp"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
find "$dir/" -maxdepth 1 -type f -name '.crunch-run~*' -mmin +60 -exec rm -f {} + 2>/dev/null || :
tmp=$(mktemp "$dir/.crunch-run~$md5.XXXXXXXXXX")
chmod 0755 "$tmp"
cat >"$tmp"
found=$(md5sum <"$tmp")
[ "${found%% *}" = "$md5" ] || fail 3 "the copy was interrupted: its MD5 is ${found%% *} and not $md5"
mv -f -T "$tmp" "$final"
tmp=
