# SPDX-License-Identifier: ISC
# Completion of dotproxyctl for bash; it asks dotproxyctl what is possible.

_dotproxyctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local -a given=() where=()
	local i word

	COMPREPLY=()
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
	# Not by compgen -W, which expands what it is given, and so runs it.
	while IFS= read -r word; do
		[[ $word == "$cur"* ]] && COMPREPLY+=("$word")
	done < <("${COMP_WORDS[0]}" "${where[@]}" complete -- "${given[@]}" \
	    2>/dev/null)
}

complete -F _dotproxyctl dotproxyctl
