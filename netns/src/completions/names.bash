
# Names that are there, after a word that a name follows; the rest is made from the arguments.
_netns_names() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" first="${COMP_WORDS[1]}" names=() words=1
    [ "$COMP_CWORD" -gt 1 ] || first=
    case "${first:+$first $prev}" in
        *" -n" | *" --netns" | *" dev" | *" master" | *" br" | *" brport" | *" oif" | *" iif")
            words= ;;&
        *" -n" | *" --netns" | netns\ exec | netns\ pids | netns\ delete | netns\ del | netns\ set)
            names=(/run/netns/*) ;;
        "netns netns" | "link link" | "bridge link") ;;
        *" netns")
            names=(/run/netns/*) words= ;;
        "ping ping")
            names=(/run/netns/*) ;;
        *" dev" | *" name" | *" link" | *" master" | *" br" | *" brport" | *" oif" | *" iif" | "link show" | "link set" | "link delete" | \
            "link del" | "addr show" | "addr flush" | stats\ *)
            names=(/sys/class/net/*) ;;
        "observe observe")
            names=(/sys/class/net/*/bridge)
            names=("${names[@]%/bridge}") ;;
        "down down" | "diff diff" | "logs logs" | "show show" | "watch watch")
            mapfile -t names < <(netns labs 2> /dev/null | sed 's/: .*//')
            COMPREPLY=($(compgen -W "${names[*]}" -- "$cur") $(compgen -f -- "$cur"))
            return ;;
    esac
    COMPREPLY=()
    [ -z "$words" ] || _netns "$@"
    names=("${names[@]##*/}")
    if [ ${#names[@]} -gt 0 ] && [ "${names[0]}" != "*" ]; then
        COMPREPLY=($(compgen -W "${names[*]}" -- "$cur") "${COMPREPLY[@]}")
    fi
}
complete -F _netns_names -o bashdefault -o default netns
