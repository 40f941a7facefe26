#compdef veneer
# zsh completion for veneer
_veneer() {
  local kind line
  local -a answer values shown
  answer=("${(@f)$("${(Q)words[1]}" internal complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  kind=$answer[1]
  case $kind in
  files) _files ;;
  directories) _files -/ ;;
  words)
    for line in "${(@)answer[2,-1]}"; do
      values+=("${line%%$'\t'*}")
      shown+=("${line/$'\t'/  -- }")
    done
    compadd -l -d shown -a values
    ;;
  esac
}
if [ "$funcstack[1]" = _veneer ]; then _veneer "$@"; else compdef _veneer veneer; fi
