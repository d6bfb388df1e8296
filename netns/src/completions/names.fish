
# Names that are there, after a word that a name follows.
complete -c netns -n "__fish_prev_arg_in -n --netns exec pids" -f -a "(command ls /run/netns 2> /dev/null)"
complete -c netns -n "__fish_prev_arg_in dev name master br brport oif iif" -f -a "(command ls /sys/class/net)"
complete -c netns -n "__fish_prev_arg_in observe" -f -a "(string replace -r '.*/([^/]*)/bridge' '\$1' /sys/class/net/*/bridge)"
complete -c netns -n "test (count (commandline -opc)) -eq 2; and __fish_prev_arg_in down diff logs show watch" -a "(netns labs 2> /dev/null | string replace -r ': .*' '')"
