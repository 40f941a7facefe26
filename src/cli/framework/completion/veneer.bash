# bash completion for veneer
#
# bash splits a line at the characters of COMP_WORDBREAKS, @ and = among them, and replaces only what is behind
# the last of them: the words are taken from the line itself, and what stands before is cut off each candidate.
_veneer() {
  local line=${COMP_LINE:0:COMP_POINT} current kept kind value rest
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[-1]}
  kept=${COMP_WORDS[COMP_CWORD]}
  [[ $kept == [=:] ]] && kept=
  kept=${current%"$kept"}
  # readline keeps an @ in the word that it replaces, though bash splits there
  kept=${kept%@}
  COMPREPLY=()
  {
    read -r kind || return
    case $kind in
    files | directories)
      compopt -o filenames 2>/dev/null
      local option=-f
      [[ $kind == directories ]] && option=-d
      mapfile -t COMPREPLY < <(compgen "$option" -- "${current#"$kept"}")
      ;;
    words)
      while IFS=$'\t' read -r value rest; do COMPREPLY+=("${value#"$kept"}"); done
      ;;
    esac
  } < <("${words[0]}" internal complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _veneer veneer
