
# Names that are there, after a word that a name follows; the rest is made from the arguments.
_netns_names() {
    (( CURRENT > 2 )) && case "$words[2] $words[CURRENT-1]" in
        *" -n"|*" --netns"|"netns exec"|"netns pids"|"netns delete"|"netns set"|"ping ping")
            compadd -- /run/netns/*(N:t) ;;
        "netns netns"|"link link"|"bridge link") ;;
        *" netns")
            compadd -- /run/netns/*(N:t) ;;
        *" dev"|*" name"|*" link"|*" master"|*" br"|*" brport"|*" oif"|*" iif"|"link show"|"link set"|"link delete"|"addr show"|"addr flush")
            compadd -- /sys/class/net/*(N:t) ;;
        "observe observe")
            compadd -- /sys/class/net/*/bridge(N:h:t) ;;
        "down down"|"diff diff"|"logs logs"|"show show"|"watch watch")
            compadd -- ${${(f)"$(netns labs 2> /dev/null)"}%%: *} ;;
    esac
    _netns "$@"
}
[ "$funcstack[1]" = "_netns" ] || compdef _netns_names netns
