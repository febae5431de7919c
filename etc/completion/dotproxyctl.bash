# SPDX-License-Identifier: ISC
# Completion of dotproxyctl for bash; it asks dotproxyctl what is possible.

_dotproxyctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local -a given=() where=()
	local i

	case $prev in
	-s | --socket)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	-i | --interval | -w | --worker)
		return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket) where=(-s "${COMP_WORDS[++i]}") ;;
		-i | --interval | -w | --worker) ((i++)) ;;
		-*) ;;
		*) given+=("${COMP_WORDS[i]}") ;;
		esac
	done
	if [[ $cur == -* ]]; then
		given=(-)
	fi
	mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" \
	    "${where[@]}" complete -- "${given[@]}" 2>/dev/null)" -- "$cur")
}

complete -F _dotproxyctl dotproxyctl
