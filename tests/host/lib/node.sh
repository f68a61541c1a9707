provide_node_image() { :; }
