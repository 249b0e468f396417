# Completion of blitz for fish: asks blitz itself, which asks the gateway.
# To have it always: blitz completions fish > ~/.config/fish/completions/blitz.fish
function __blitz_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l command $typed[1]
    set -e typed[1]
    $command __complete fish -- $typed "$current" 2>/dev/null | tail -n +2
end
complete -c blitz -f -a '(__blitz_complete)'
