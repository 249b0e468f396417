#compdef blitz
# Completion of blitz for zsh: asks blitz itself, which asks the gateway.
# To have it always: blitz completions zsh > a file _blitz in a directory of $fpath
_blitz() {
    local -a lines names shown
    local line
    lines=("${(@f)$(${~words[1]} __complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    local kind=$lines[1]
    shift lines 2>/dev/null
    for line in $lines; do
        [[ -n $line ]] || continue
        names+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    (( $#names )) || return 1
    if [[ $kind == files ]]; then
        compadd -f -S '' -a names
    else
        compadd -l -d shown -a names
    fi
}
if [[ $funcstack[1] == _blitz ]]; then
    _blitz "$@"
elif (( $+functions[compdef] )); then
    compdef _blitz blitz
fi
