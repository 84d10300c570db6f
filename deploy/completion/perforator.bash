# Completion of perforator in bash: the program itself says what may stand at the cursor.
_perforator() {
  local word=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} suggestions
  suggestions=$("${COMP_WORDS[0]}" "[suggest:${#line}]" "$line" 2>/dev/null | grep -v -e '^/' -e '^-?$')
  # COMP_WORDBREAKS splits at '=' and ':', the program does not; what it has no word for may be a file.
  mapfile -t COMPREPLY < <(compgen -W "$suggestions" -- "$word")
}
complete -o default -F _perforator perforator
