# fish completion for veneer
function __veneer_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] internal complete -- $words[2..-1] "$current" 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current"
        case words
            printf '%s\n' $answer[2..-1]
    end
end
complete -c veneer -f -a '(__veneer_complete)'
