# The engine asks the instance metadata itself.
identify() {
  id_flags=''
  credential=''
}
